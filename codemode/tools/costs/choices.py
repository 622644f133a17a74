"""The choice of the members of a union that a value may fit, by its keys and tags.

Pydantic tries each member. Here those are left out that certainly refuse the
value, those that would give what an earlier one gives, and, where one member
takes all that the others take and more, the others, unless that one fails. The
result is the one of pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import PydanticCustomError

from codemode.tools.costs.metering import CONTAINERS, SCALARS, charge, current, size_of
from codemode.tools.costs.records import Record
from codemode.values.shortening import cut

__all__ = [
    "ANY",
    "FIRST",
    "MAPPING",
    "NOTHING",
    "RULED_OUT",
    "SCALAR",
    "SEQUENCE",
    "Choice",
    "Try",
    "first_tag",
    "tag_of",
]

# Tags of this form are not shown in messages.
ANY: Final = "union[any]"
FIRST: Final = "union[first]"
MAPPING: Final = "union[mapping]"
NOTHING: Final = "union[nothing]"
SCALAR: Final = "union[scalar]"
SEQUENCE: Final = "union[sequence]"
RULED_OUT: Final = "ruled_out"
ALL: Final = ""
"""Stands for every key among the keys that a member reads."""

type _Decision = tuple[str, int, frozenset[str] | None]

_UNKNOWN: Final = 1
"""The bit of all keys that no member knows."""
_ABSENT: Final = -1
_OTHER: Final = -2
_MAX_CACHED: Final = 1_000
_MAX_TOLD: Final = 400
_TRY: Final = 5
"""What a try costs beside that of the parts, in parts."""
_MEMBERS_OF_CHARGE: Final = 4
"""Members that are compared to the keys of a value in the time of one try."""


def tag_of(index: int) -> str:
    """Return the tag that stands for one member alone."""
    return f"union[{index}]"


def first_tag(index: int) -> str:
    """Return the tag of a member that is tried before the others."""
    return f"union[first {index}]"


@dataclass(slots=True, eq=False)
class _Member:
    """One member that takes dicts, with a bit for each key that it knows."""

    index: int
    record: Record | None
    plain: bool = False
    need: int = 0
    known: int = 0
    groups: list[int] = field(default_factory=list)
    rules: dict[int, str] = field(default_factory=dict)

    def __init__(self, index: int, record: Record | None, bits: dict[str, int]) -> None:
        self.index = index
        self.record = record
        self.plain = record is not None and record.plain
        self.need = self.known = 0
        self.groups = []
        self.rules = {}
        for one in record.fields if record is not None else ():
            own = 0
            for key in one.keys:
                own |= bits.setdefault(key, 2 << len(bits))
            self.plain = self.plain and len(one.keys) == 1 and not own & self.known
            self.known |= own
            if one.required and len(one.keys) == 1:
                self.need |= own
            elif one.required:
                self.groups.append(own)
            schema = one.schema
            if schema["type"] == "default" and not schema.get("validate_default"):
                self.plain = self.plain and schema.get("on_error", "raise") == "raise"
                schema = schema["schema"]
            self.rules[own] = repr(schema)

    def may_fit(self, mask: int) -> bool:
        if self.record is None:
            return True
        if mask & self.need != self.need or not all(mask & one for one in self.groups):
            return False
        return self.record.extra != "forbid" or not mask & ~self.known

    def rules_for(self, mask: int) -> frozenset[tuple[int, str]]:
        return frozenset(one for one in self.rules.items() if one[0] & mask)


class Choice:
    """The choice of the members of one union that a value may fit."""

    def __init__(
        self,
        records: Sequence[tuple[int, Record | None]],
        *,
        sequences: Sequence[int],
        scalars: int,
        members: int,
        narrows: bool,
        is_smart: bool,
    ) -> None:
        self._bits: dict[str, int] = {}
        self._members = [_Member(index, record, self._bits) for index, record in records]
        self._has_sequences = bool(sequences)
        self._sequences = sum(1 << one for one in sequences) if len(sequences) > 1 else 0
        self._scalars = scalars // 8
        self._any = members // _MEMBERS_OF_CHARGE
        self._narrows = narrows
        self._is_smart = is_smart
        self._all = sum(1 << one.index for one in self._members)
        self._tags = self._tables()
        self._cache: dict[tuple[int, ...], _Decision] = {}

    def _tables(self) -> list[tuple[str, dict[str, int], dict[int, int]]]:
        """Return each key that has tags, the numbers of the tags, and the members that fit."""
        texts: dict[str, dict[str, int]] = {}
        fitting: dict[str, dict[int, int]] = {}
        for member in self._members:
            for one in member.record.fields if member.record is not None else ():
                if one.tags is None or len(one.keys) > 1:
                    continue
                (key,) = one.keys
                numbers = texts.setdefault(key, {})
                table = fitting.setdefault(key, {})
                for text in one.tags:
                    number = numbers.setdefault(text, len(numbers))
                    table[number] = table.get(number, 0) | 1 << member.index
        for table in fitting.values():
            tagged = 0
            for bits in table.values():
                tagged |= bits
            for number in table:
                table[number] |= self._all & ~tagged
            table[_OTHER] = self._all & ~tagged
        return [(key, numbers, fitting[key]) for key, numbers in texts.items()]

    def choose(self, value: Any) -> str:
        """Return the tag of what a value is validated against."""
        kind = type(value)
        if kind is dict and self._members:
            return self._of_dict(value)
        if kind in CONTAINERS and self._has_sequences:
            if self._sequences:
                current.get().visits[id(self), id(value)] = (self._sequences, None)
            return SEQUENCE
        if kind in SCALARS:
            if self._scalars:
                charge(self._scalars * size_of(value))
            return SCALAR
        if self._any:
            charge(self._any)
        return ANY

    def _of_dict(self, value: dict[Any, Any]) -> str:
        mask = 0
        bit_of = self._bits.get
        for key in value:
            mask |= bit_of(key, _UNKNOWN) if type(key) is str else _UNKNOWN
        known = (mask, *self._tags_of(value)) if self._tags else (mask,)
        decided = self._cache.get(known)
        if decided is None:
            charge(len(self._members) // _MEMBERS_OF_CHARGE)
            decided = self._decide(*known)
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[known] = decided
        tag, bits, read = decided
        if bits:
            current.get().visits[id(self), id(value)] = (bits, read)
            if self._any:
                charge(self._any)
        return tag

    def _tags_of(self, value: dict[Any, Any]) -> Iterator[int]:
        for key, numbers, _ in self._tags:
            text = value.get(key, self)
            if type(text) is str:
                yield numbers.get(text, _OTHER)
            else:
                kind = type(text)
                yield _OTHER if kind is dict or kind in CONTAINERS or kind in SCALARS else _ABSENT

    def _decide(self, mask: int, *tags: int) -> _Decision:
        """Return the tag, the bits of the members to try, and the keys that one has read before."""
        if not self._narrows:
            return MAPPING, self._all, None
        allowed = self._all
        for (_, _, table), tag in zip(self._tags, tags, strict=True):
            if tag != _ABSENT:
                allowed &= table[tag]
        fitting: list[_Member] = []
        seen = set()
        for member in self._members:
            if not (allowed >> member.index & 1 and member.may_fit(mask)):
                continue
            if member.plain and member.record is not None:
                kind = (member.record.kind, member.record.extra, member.rules_for(mask))
                if kind in seen:
                    continue  # an earlier member reads the same keys by the same rules
                seen.add(kind)
            fitting.append(member)
        if not fitting:
            return NOTHING, 0, None
        if len(fitting) == 1:
            return tag_of(fitting[0].index), 0, None
        bits = sum(1 << one.index for one in fitting)
        first = max(fitting, key=lambda one: len(one.rules_for(mask)))
        if self._is_smart and all(_exceeds(first, one, mask) for one in fitting):
            return first_tag(first.index), bits, keys_of(first.record)
        return MAPPING, bits, None

    def try_first(self, value: Any, validate: Callable[[Any], Any]) -> Any:
        """Validate against the member that is tried before the others, and note its success."""
        checked = validate(value)
        current.get().visits[id(self), id(value)] = (0, None)
        return checked

    def rule_out(self, value: Any) -> Any:
        """Refuse a value that the first member has accepted, before the others."""
        if not current.get().visits[id(self), id(value)][0]:
            raise PydanticCustomError(RULED_OUT, "is of another member")
        return value

    def refuse(self, _value: Any) -> Any:
        """Refuse a dict that has the keys or tags of no member."""
        members = " or ".join(map(_told, self._members))
        raise PydanticCustomError(
            "no_member", "{words}", {"words": f"must be {cut(members, _MAX_TOLD)}"}
        )


class Try:
    """The count of a try of one member, in front of that member.

    What an earlier member has read of the value counts again.
    """

    def __init__(self, choice: Choice, index: int, record: Record | None) -> None:
        self._choice = id(choice)
        self._bit = 1 << index
        self._keys = keys_of(record)
        self._fields = len(record.fields) // _MEMBERS_OF_CHARGE if record is not None else 0

    def __call__(self, value: Any) -> Any:
        meter = current.get()
        visit = meter.visits.get((self._choice, id(value)))
        if visit is None:
            return value
        bits, read = visit
        if not bits & self._bit:
            meter.charge(1)
            raise PydanticCustomError(RULED_OUT, "is of another member")
        if read is None:
            meter.visits[self._choice, id(value)] = (bits, self._keys)
            return value
        meter.charge(_TRY + self._fields)
        if ALL in read and ALL in self._keys:
            meter.charge_again(value)
        else:
            for key in self._shared(read):
                if key in value:
                    meter.charge_again(value[key])
        meter.visits[self._choice, id(value)] = (bits, read | self._keys)
        return value

    def _shared(self, read: frozenset[str]) -> frozenset[str]:
        if ALL in read:
            return self._keys
        return read if ALL in self._keys else read & self._keys


def keys_of(record: Record | None) -> frozenset[str]:
    """Return the keys that a member reads of a dict, ALL among them where it reads every key."""
    if record is None or record.reads_all:
        return frozenset({ALL})
    return frozenset(key for one in record.fields for key in one.keys)


def _exceeds(first: _Member, other: _Member, mask: int) -> bool:
    """Return whether pydantic prefers a member that accepts a value to another that does.

    It prefers the one that reads more fields, those of the parts included.
    """
    if first is other:
        return True
    if first.record is None or other.record is None or not (first.plain and other.plain):
        return False
    return first.record.kind == other.record.kind and first.rules_for(mask) > other.rules_for(mask)


def _told(member: _Member) -> str:
    if member.record is None:
        return "another"
    needs = []
    for one in member.record.fields:
        key = min(one.keys)
        if one.tags is not None and len(one.tags) == 1:
            needs.append(f"{key}={min(one.tags)!r}")
        elif one.required:
            needs.append(key)
    return f"{member.record.label} ({', '.join(needs)})" if needs else member.record.label
