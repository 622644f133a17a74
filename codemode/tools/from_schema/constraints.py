"""What a JSON Schema asks of a value beyond its type, as annotations for pydantic.

Each check takes time in proportion to the value. Patterns are matched by
pydantic's own engine, within the bound of ``costs.patterns``; a pattern that
this engine does not know, such as one that looks ahead, is not checked.
"""

from __future__ import annotations

import datetime
import functools
import math
import uuid
from collections.abc import Callable, Sized
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError, SchemaError, SchemaValidator, core_schema

from codemode.tools.from_schema.document import canonical
from codemode.values import encode
from codemode.values.shortening import shorten

__all__ = [
    "one_of",
    "refuse",
    "restrict_array",
    "restrict_number",
    "restrict_object",
    "restrict_text",
]

_MAX_PATTERN: Final = 500
_MAX_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class _Bound:
    """One limit on a number."""

    words: str
    limit: Any
    fits: Callable[[Any, Any], bool]

    def __call__(self, value: Any) -> Any:
        if not self.fits(value, self.limit):
            raise _fault(f"must be {self.words} {self.limit}")
        return value


_BOUNDS: Final[dict[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "minimum": ("at least", lambda value, limit: value >= limit),
    "maximum": ("at most", lambda value, limit: value <= limit),
    "exclusiveMinimum": ("greater than", lambda value, limit: value > limit),
    "exclusiveMaximum": ("less than", lambda value, limit: value < limit),
    "multipleOf": ("a multiple of", lambda value, limit: _is_multiple(value, limit)),
}


def _is_multiple(value: Any, limit: Any) -> bool:
    # By their decimal texts: 0.3 is a multiple of 0.1, which their floats are not.
    above, below = _ratio(limit)
    if type(value) is int:
        return bool(value * below % above == 0)
    top, bottom = Decimal(repr(value)).as_integer_ratio()
    return top * below % (bottom * above) == 0


@functools.lru_cache(maxsize=256)
def _ratio(limit: float) -> tuple[int, int]:
    return Fraction(str(limit)).as_integer_ratio()


def restrict_number(schema: dict[str, Any]) -> list[Any]:
    """Return the annotations of a number."""
    found = []
    for keyword, (words, fits) in _BOUNDS.items():
        limit: Any = schema.get(keyword)
        # The exclusiveMinimum of old drafts is a bool.
        if type(limit) is not int and not (type(limit) is float and math.isfinite(limit)):
            continue
        if keyword != "multipleOf" or limit > 0:
            found.append(AfterValidator(_Bound(words, limit, fits)))
    return found


@dataclass(frozen=True, slots=True)
class _Size:
    """The limits on the size of a text, a list or a dict."""

    least: int
    most: float
    unit: str

    def __call__(self, value: Sized) -> Any:
        if len(value) < self.least:
            raise _fault(f"must have at least {self.least} {self.unit}, but has {len(value)}")
        if len(value) > self.most:
            raise _fault(f"must have at most {self.most} {self.unit}, but has {len(value)}")
        return value


def _sizes(schema: dict[str, Any], suffix: str, unit: str) -> list[Any]:
    least, most = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    least = least if type(least) is int else 0
    most = most if type(most) is int else math.inf
    return [AfterValidator(_Size(least, most, unit))] if least > 0 or most < math.inf else []


def restrict_array(schema: dict[str, Any]) -> list[Any]:
    """Return the annotations of a list."""
    unique = [AfterValidator(_unique)] if schema.get("uniqueItems") is True else []
    return [*_sizes(schema, "Items", "items"), *unique]


def restrict_object(schema: dict[str, Any]) -> list[Any]:
    """Return the annotations of a dict."""
    return _sizes(schema, "Properties", "keys")


def _unique(values: list[Any]) -> list[Any]:
    seen = set()
    for one in values:
        # The guard of lists has refused numbers that collide; of other values the hash is secret.
        # As bytes, true is not 1.
        key = one if type(one) in (str, int, float) else encode(one)
        if key in seen:
            raise _fault(f"must not have an item twice, but has {shorten(one)} twice")
        seen.add(key)
    return values


def restrict_text(schema: dict[str, Any]) -> list[Any]:
    """Return the annotations of a text: its length, pattern and format."""
    pattern, kind = schema.get("pattern"), schema.get("format")
    found: list[Any] = []
    if isinstance(pattern, str) and _is_known(pattern):
        found.append(Field(pattern=pattern))
    if isinstance(kind, str) and kind in _FORMATS:
        form = _FORMATS[kind]
        found += [BeforeValidator(form.before), AfterValidator(form.after)]
    return found + _sizes(schema, "Length", "characters")


def _is_known(pattern: str) -> bool:
    if len(pattern) > _MAX_PATTERN:
        return False
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:
        return False
    return True


def _parse_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ValueError from error


@dataclass(frozen=True, slots=True)
class _Format:
    """A format of texts, and the type whose values it takes as well.

    Executed code may have such a value from another tool; the function gets a
    text either way.
    """

    words: str
    kind: type
    text: Callable[[Any], str]
    parse: Callable[[str], object]

    def before(self, value: Any) -> Any:
        if type(value) is self.kind:
            return self.text(value)
        if not isinstance(value, str):
            raise _fault(f"must be {self.words}")
        return value

    def after(self, value: str) -> str:
        try:
            self.parse(value)
        except ValueError:
            raise _fault(f"must be {self.words}") from None
        return value


_FORMATS: Final = {
    "date": _Format(
        "a date such as '2026-01-31'",
        *(datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    ),
    "date-time": _Format(
        "a date and time such as '2026-01-31T09:30:00Z'",
        *(datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    ),
    "time": _Format(
        "a time such as '09:30:00'",
        *(datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    ),
    "uuid": _Format(
        "a UUID such as '0b7e1c2a-9f30-4c5e-8a41-2f6d3b9c7e10'", *(uuid.UUID, str, uuid.UUID)
    ),
    "decimal": _Format("a number as text, such as '1.50'", Decimal, str, _parse_decimal),
}


@dataclass(frozen=True, slots=True)
class _OneOf:
    """The check of an ``enum`` that ``Literal`` cannot hold."""

    allowed: frozenset[str]
    shown: str

    def __call__(self, value: Any) -> Any:
        try:
            if canonical(value) in self.allowed:
                return value
        except (TypeError, ValueError):
            pass  # not a value of JSON
        raise _fault(f"must be one of {self.shown}")


def one_of(values: list[Any]) -> AfterValidator:
    """Return the annotation of a value that must be one of some."""
    shown = ", ".join(map(shorten, values[:_MAX_SHOWN]))
    more = f", ... ({len(values)} values)" if len(values) > _MAX_SHOWN else ""
    return AfterValidator(_OneOf(frozenset(map(canonical, values)), f"{shown}{more}"))


def refuse(value: Any) -> Any:
    """Refuse every value, as the schema ``false`` does."""
    raise _fault("must be left out")


def _fault(words: str) -> PydanticCustomError:
    # The words may hold braces, so they are no template.
    return PydanticCustomError("constraint", "{words}", {"words": words})
