"""Messages on wrong arguments, in words that help a model to repair its call."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from codemode.tools.costs.choices import FIRST, RULED_OUT
from codemode.tools.signature import members_of, render_hint
from codemode.values.shortening import cut, cut_middle, shorten

__all__ = ["explain"]

_DATE = 'must be a date, as in "2026-01-31"'
_DATETIME = 'must be a datetime, as in "2026-01-31T12:00:00"'
_TIME = 'must be a time, as in "12:00:00"'
_TIMEDELTA = 'must be a timedelta, as in "PT2H30M"'
_DECIMAL = "must be a number (Decimal)"
_WORDS = {
    "bool_parsing": "must be true or false (bool)",
    "bool_type": "must be true or false (bool)",
    "bytes_type": "must be bytes",
    "callable_type": "must be a function, which code cannot pass",
    "date_from_datetime_inexact": "must be a date, without a time",
    "date_from_datetime_parsing": _DATE,
    "date_parsing": _DATE,
    "date_type": _DATE,
    "datetime_from_date_parsing": _DATETIME,
    "datetime_object_invalid": _DATETIME,
    "datetime_parsing": _DATETIME,
    "datetime_type": _DATETIME,
    "decimal_parsing": _DECIMAL,
    "decimal_type": _DECIMAL,
    "dict_type": "must be a dict",
    "extra_forbidden": "is not expected",
    "float_parsing": "must be a number (float)",
    "float_type": "must be a number (float)",
    "frozen_set_type": "must be a frozenset",
    "int_from_float": "must be a whole number (int)",
    "int_parsing_size": "has too many digits for an int",
    "int_parsing": "must be a whole number (int)",
    "int_type": "must be a whole number (int)",
    "list_type": "must be a list",
    "missing": "is missing",
    "none_required": "must be None",
    "recursion_loop": "must not contain itself",
    "set_item_not_hashable": "must have items that a set can hold, such as texts and numbers",
    "set_type": "must be a set",
    "string_type": "must be a string (str)",
    "time_delta_parsing": _TIMEDELTA,
    "time_delta_type": _TIMEDELTA,
    "time_parsing": _TIME,
    "time_type": _TIME,
    "timezone_aware": "must have a time zone, as in datetime.now(timezone.utc)",
    "timezone_naive": "must have no time zone",
    "tuple_type": "must be a tuple",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
}
_REPAIRS = {
    ("date_from_datetime_inexact", datetime): "write .date() after it",
    ("string_type", int): "write str(...) for it",
}

# Of a value whose type is right.
_VALUES = frozenset(
    {"assertion_error", "greater_than", "greater_than_equal", "less_than", "less_than_equal"}
    | {"multiple_of", "string_pattern_mismatch", "string_too_long", "string_too_short"}
    | {"too_long", "too_short", "value_error"}
)
# A member of a union is the farther from a value the more its faults weigh: a tag of another
# record says most, and a field that is not there says more than one that is wrong.
_WEIGHTS = {"literal_error": 5, "extra_forbidden": 2, "missing": 2}

_PHRASES = (
    (re.compile(r"^Unable to extract tag using discriminator (.+)$"), r"must have the field \1"),
    (
        re.compile(r"^Input tag .+ found using (.+) does not match any of the expected tags: "),
        r"must have as \1 one of ",
    ),
    (re.compile(r"^Input is not a valid "), "must be a "),
    (re.compile(r"^[\w ]{1,40}? should be a valid "), "must be a valid "),
    (re.compile(r"^[\w ]{1,40}? should "), "must "),
    (re.compile(r" after validation, not (\S+)$"), r", not \1"),
)

# Beyond this many faults in one value, naming each would cost more than the
# value did: a list of a million wrong items has a million faults.
_MAX_FAULTS: Final = 20
_MAX_READ: Final = 500
_MAX_NEAREST: Final = 3
_MAX_KEY: Final = 60
_MAX_PATH: Final = 200
_MAX_MEMBERS: Final = 200

_WRAPPED = re.compile(r"function-\w+\[[^,]*, (.*)\]")


class _Complaint(NamedTuple):
    text: str
    weight: int = 1


class _Fault(NamedTuple):
    """One error of pydantic: ``steps`` lead to it, ``at`` of which are taken."""

    steps: tuple[int | str, ...]
    at: int
    kind: str
    message: str
    given: Any

    @property
    def is_here(self) -> bool:
        return self.at == len(self.steps)

    @property
    def step(self) -> int | str:
        return self.steps[self.at]

    def after(self) -> _Fault:
        return self._replace(at=self.at + 1)

    def is_in_member(self, value: Any) -> bool:
        """Return whether the next step names a member of a union, and no part of the value."""
        if self.is_here or isinstance(self.step, int):
            return False
        is_missing = self.kind == "missing" and self.after().is_here
        return not (isinstance(value, Mapping) and (is_missing or self.step in value))


def explain(name: str, value: Any, hint: Any, error: ValidationError) -> list[str]:
    """Return one sentence for each fault in the value of an argument.

    Where a value fits no member of a union, that is one fault. Its sentence
    says what is wrong with the value as the member that it is nearest to.
    """
    found: list[_Complaint] = []
    if error.error_count() <= _MAX_READ:
        details = error.errors(include_url=False, include_context=False)
        faults = [
            _Fault(_steps(one["loc"]), 0, one["type"], one["msg"], one["input"])
            for one in details
            if one["type"] != RULED_OUT and FIRST not in one["loc"]
        ]
        found = _Reader(name, hint).read(name, value, faults)
    if not 0 < len(found) <= _MAX_FAULTS:
        return [f"argument {name!r} must be {render_hint(hint)}{_got(value)}"]
    return [f"argument {one.text}" for one in found]


def _steps(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the steps to a fault without those that lead nowhere and name no member."""
    return tuple(
        one
        for one in location
        if isinstance(one, int) or not (one == "[key]" or one.startswith("union["))
    )


class _Reader:
    """A reader of the faults in one argument.

    Pydantic mixes steps into the value with names of the members of unions that
    it tried. Only a step that leads to a part of the value, or to a missing last
    part, belongs to the path.
    """

    def __init__(self, name: str, hint: Any) -> None:
        self._name = name
        self._hint = hint

    def read(
        self, path: str, value: Any, faults: Sequence[_Fault], *, brief: bool = False
    ) -> list[_Complaint]:
        """Return a complaint about each fault at a place and in what it holds.

        With ``brief``, no member of a union is looked into.
        """
        here = [one for one in faults if one.is_here]
        deeper = [one for one in faults if not one.is_here]
        complaints = [_complaint(path, here)] if here else []
        if any(one.is_in_member(value) for one in deeper):
            members = _grouped((str(one.step), one.after()) for one in deeper)
            return complaints + self._of_members(path, value, members, brief=brief)
        for step, found in _grouped((one.step, one.after()) for one in deeper).items():
            complaints += self.read(*_part(path, value, step), found, brief=brief)
        return complaints

    def _of_members(
        self, path: str, value: Any, members: Mapping[str, list[_Fault]], *, brief: bool
    ) -> list[_Complaint]:
        if len(members) == 1:  # the one that a tag in the value says
            (found,) = members.values()
            return self.read(path, value, found, brief=brief)
        names = self._names(path, members)
        near = {
            name: self.read(path, value, found, brief=True)
            for name, found in names.items()
            if not (brief or _is_other_type(found))
        }
        wanted = f"{_quoted(path)} must be {self._union(path, names)}"
        if not near:
            return [_Complaint(wanted + _got(value))]
        nearest = min(near, key=lambda name: sum(one.weight for one in near[name]))
        wrong = [one.text for one in near[nearest]]
        more = len(wrong) - _MAX_NEAREST
        named = wrong[:_MAX_NEAREST] + [f"{more} more"] * (more > 0)
        return [_Complaint(f"{wanted}; it is nearest to {nearest}, but {' and '.join(named)}")]

    def _names(self, path: str, members: Mapping[str, list[_Fault]]) -> dict[str, list[_Fault]]:
        """Return the faults by the names of the members, as signatures write them."""
        hints = [one for one in members_of(self._hint) if one not in (None, NoneType)]
        if path == self._name and len(hints) == len(members):
            names = [cut(render_hint(one), _MAX_KEY) for one in hints]
        else:
            names = [cut(_unwrapped(one), _MAX_KEY) for one in members]
        return dict(zip(names, members.values(), strict=True))

    def _union(self, path: str, names: Iterable[str]) -> str:
        if path == self._name and len(members_of(self._hint)) > 1:
            return render_hint(self._hint)
        return cut(" | ".join(names), _MAX_MEMBERS)


def _grouped[Key: Hashable](found: Iterable[tuple[Key, _Fault]]) -> dict[Key, list[_Fault]]:
    groups: dict[Key, list[_Fault]] = {}
    for key, fault in found:
        groups.setdefault(key, []).append(fault)
    return groups


def _part(path: str, value: Any, step: int | str) -> tuple[str, Any]:
    """Return the path to a part of a value, such as ``items[2].price``, and the part."""
    if isinstance(step, str):
        part = value.get(step) if isinstance(value, Mapping) else None
        return f"{path}.{cut(step, _MAX_KEY)}", part
    if isinstance(value, Sequence) and step < len(value):
        return f"{path}[{step}]", value[step]
    if isinstance(value, list | tuple):
        return f"{path}[{step}]", None
    if isinstance(value, Mapping):
        # Else it is a tag, or the place of a wrong key.
        return (f"{path}[{step}]", value[step]) if step in value else (path, value)
    return path, None  # sets have no order


def _complaint(path: str, faults: Sequence[_Fault]) -> _Complaint:
    words = []
    got = ""
    for one in faults:
        words.append(_WORDS.get(one.kind) or _plain(one.message))
        if one.kind != "missing":
            repair = _REPAIRS.get((one.kind, type(one.given)))
            got = f"{_got(one.given)}: {repair}" if repair else _got(one.given)
    weight = max(_WEIGHTS.get(one.kind, 1) for one in faults)
    return _Complaint(f"{_quoted(path)} {' or '.join(dict.fromkeys(words))}{got}", weight)


def _quoted(path: str) -> str:
    return repr(cut_middle(path, _MAX_PATH))


def _got(value: Any) -> str:
    return f", got {shorten(value)} ({type(value).__name__})"


def _is_other_type(faults: Sequence[_Fault]) -> bool:
    """Return whether a value is not of the type of a member at all."""
    return all(one.is_here and one.kind not in _VALUES for one in faults)


def _unwrapped(member: str) -> str:
    """Return pydantic's name of a member without the functions around its type."""
    while found := _WRAPPED.fullmatch(member):
        member = found[1]
    return member


def _plain(message: str) -> str:
    """Return a message from pydantic as the end of a sentence about the argument."""
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    for pattern, words in _PHRASES:
        message = pattern.sub(words, message, count=1)
    return message
