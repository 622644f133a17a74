"""The types of tools as executed code meets them, apart from how they are written."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import fractions
import types
import typing
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, RootModel
from pydantic.fields import FieldInfo

from codemode.tools.notes import note_in

__all__ = ["Field", "Kind", "Shape", "fields_of", "parts_of", "shape_of"]

_PLAIN = (str, int, float, complex, bool, bytes, object)
_IMPORTED = (
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
)
_CONTAINERS: dict[Any, str] = {
    tuple: "tuple",
    frozenset: "frozenset",
    **dict.fromkeys((dict, collections.abc.Mapping, collections.abc.MutableMapping), "dict"),
    **dict.fromkeys((set, collections.abc.Set, collections.abc.MutableSet), "set"),
    **dict.fromkeys(
        (
            *(list, collections.abc.Sequence, collections.abc.MutableSequence),
            *(collections.abc.Collection, collections.abc.Iterable, collections.abc.Iterator),
        ),
        "list",
    ),
}


class Kind(enum.Enum):
    """What a shape is."""

    ANY = enum.auto()
    NONE = enum.auto()
    PLAIN = enum.auto()
    IMPORTED = enum.auto()
    CONTAINER = enum.auto()
    UNION = enum.auto()
    LITERAL = enum.auto()
    RECORD = enum.auto()
    ALIAS = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One type. ``name`` and ``module`` are where Python finds it.

    ``parts`` are those of a container or a union. ``values`` are those of a
    Literal or an Enum, each with its type; an Enum has a ``name``.
    ``source`` is the class of a record, or the alias. Of a container,
    ``variadic`` marks a tuple of any length.
    """

    kind: Kind
    name: str = ""
    module: str = ""
    parts: tuple[Shape, ...] = ()
    values: tuple[Any, ...] = ()
    source: Any = None
    variadic: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A key of a record: ``passed`` in a call, and ``returned``; "" where there it has none.

    ``optional``: a call that passes the record may leave the key out. A returned
    record lacks a key only when that is not ``required``.
    """

    passed: str
    returned: str
    shape: Shape
    required: bool
    optional: bool
    note: str


ANY = Shape(kind=Kind.ANY)
_NONE = Shape(kind=Kind.NONE)


def shape_of(hint: Any, *, within: tuple[Any, ...] = ()) -> Shape:
    """Return the shape of a type hint, ANY where it says nothing to executed code.

    ``within`` are the generic aliases in which the hint stands.
    """
    if hint is None or hint is types.NoneType:
        return _NONE
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, typing.TypeAliasType):
        return Shape(kind=Kind.ALIAS, name=hint.__name__, source=hint)
    if isinstance(origin, typing.TypeAliasType):
        return _generic(origin, arguments, within)
    if isinstance(hint, typing.NewType):
        return shape_of(hint.__supertype__, within=within)
    if origin in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final):
        return shape_of(arguments[0], within=within)
    if origin is typing.Union or origin is types.UnionType:
        return Shape(kind=Kind.UNION, parts=_shapes(arguments, within))
    if origin is typing.Literal:
        return _literal(arguments)
    kind = origin or hint
    return _type(kind, arguments, within) if isinstance(kind, type) else ANY


def fields_of(kind: type) -> list[Field] | None:
    """Return the keys of the dict that stands for a class, or None if it is not a record."""
    if typing.is_typeddict(kind):
        hints = _hints_of(kind)
        present: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
        # Postponed annotations hide Required and NotRequired from __required_keys__.
        marks = {typing.Required: True, typing.NotRequired: False}
        return [
            _field(key, hint, required=marks.get(typing.get_origin(hint), key in present))
            for key, hint in hints.items()
        ]
    if issubclass(kind, BaseModel):
        return _fields_of_model(kind)
    if dataclasses.is_dataclass(kind):
        return _fields_of_dataclass(kind)
    return None


def parts_of(shape: Shape) -> list[tuple[str, Shape]]:
    """Return the shapes within a shape, each with the name of the key that has it."""
    if shape.kind is Kind.ALIAS:
        return [(shape.name, _value_of(shape.source))]
    if shape.kind is Kind.RECORD:
        return [(one.returned or one.passed, one.shape) for one in fields_of(shape.source) or ()]
    return [("", part) for part in shape.parts]


def _fields_of_model(kind: type[BaseModel]) -> list[Field]:
    by_alias = kind.model_config.get("serialize_by_alias")
    return [
        *(
            _field(
                name,
                info.annotation,
                passed=_passed(name, info, kind.model_config),
                returned="" if info.exclude else (by_alias and info.serialization_alias) or name,
                needed=info.is_required(),
                note=info.description,
            )
            for name, info in kind.model_fields.items()
        ),
        *(
            _field(
                name,
                computed.return_type,
                passed="",
                returned=(by_alias and computed.alias) or name,
                note=computed.description,
            )
            for name, computed in kind.model_computed_fields.items()
        ),
    ]


def _fields_of_dataclass(kind: type) -> list[Field]:
    hints = _hints_of(kind)
    config = getattr(kind, "__pydantic_config__", {})
    nothing = dataclasses.MISSING
    found = []
    for one in dataclasses.fields(kind):
        needed = one.default is nothing and one.default_factory is nothing
        passed, note = one.name, None
        if isinstance(one.default, FieldInfo):
            needed, note = one.default.is_required(), one.default.description
            passed = _passed(one.name, one.default, config)
        hint = hints.get(one.name, Any)
        found.append(
            _field(one.name, hint, passed=passed if one.init else "", needed=needed, note=note)
        )
    return found


def _passed(name: str, info: FieldInfo, config: Mapping[str, Any]) -> str:
    """Return the key by which a call passes a field of pydantic."""
    if config.get("populate_by_name") or config.get("validate_by_name"):
        return name
    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return next((one for one in choices if isinstance(one, str)), name)


def _value_of(alias: typing.TypeAliasType) -> Shape:
    try:
        return shape_of(alias.__value__)
    except NameError:  # A name that only a type checker knows.
        return ANY


def _field(
    name: str,
    hint: Any,
    *,
    passed: str | None = None,
    returned: str | None = None,
    required: bool = True,
    needed: bool | None = None,
    note: str | None = None,
) -> Field:
    return Field(
        passed=name if passed is None else passed,
        returned=name if returned is None else returned,
        shape=shape_of(hint),
        required=required,
        optional=not (required if needed is None else needed),
        note=" ".join((note or note_in(hint)).split()),
    )


def _type(kind: type, arguments: tuple[Any, ...], within: tuple[Any, ...]) -> Shape:
    if kind in _PLAIN:
        return Shape(kind=Kind.PLAIN, name=kind.__name__)
    if kind in _IMPORTED:
        return Shape(kind=Kind.IMPORTED, name=kind.__name__, module=kind.__module__)
    if kind in _CONTAINERS:
        return _container(_CONTAINERS[kind], arguments, within)
    if issubclass(kind, enum.Enum):
        return _literal(tuple(kind), name=kind.__name__)
    if issubclass(kind, RootModel):
        if kind in within:
            return ANY
        return shape_of(kind.model_fields["root"].annotation, within=(*within, kind))
    if typing.is_typeddict(kind) or issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind):
        return Shape(kind=Kind.RECORD, name=kind.__name__, source=kind)
    return ANY


def _container(name: str, arguments: tuple[Any, ...], within: tuple[Any, ...]) -> Shape:
    variadic = name == "tuple" and (not arguments or Ellipsis in arguments)
    given = tuple(one for one in arguments if one is not Ellipsis)
    if not given and (name != "tuple" or variadic):
        given = (Any, Any) if name == "dict" else (Any,)
    parts = _shapes(given, within)
    return Shape(kind=Kind.CONTAINER, name=name, parts=parts, variadic=variadic)


def _generic(
    alias: typing.TypeAliasType, arguments: tuple[Any, ...], within: tuple[Any, ...]
) -> Shape:
    """Return the shape of an alias with its parameters filled in; ANY within itself."""
    if alias in within:
        return ANY
    try:
        return shape_of(alias.__value__[arguments], within=(*within, alias))
    except (NameError, TypeError):  # A name that only a type checker knows; no parameter used.
        return ANY


def _literal(values: Iterable[Any], name: str = "") -> Shape:
    plain = tuple(one.value if isinstance(one, enum.Enum) else one for one in values)
    if not plain:
        return ANY
    if all(one is None or type(one) in (str, int, bool, bytes) for one in plain):
        # The types tell 1 from True, which are equal.
        return Shape(kind=Kind.LITERAL, name=name, values=tuple((type(v), v) for v in plain))
    return Shape(kind=Kind.UNION, parts=_shapes(map(type, plain), ()))


def _shapes(hints: Iterable[Any], within: tuple[Any, ...]) -> tuple[Shape, ...]:
    return tuple(shape_of(one, within=within) for one in hints)


def _hints_of(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # Names that only a type checker knows.
        return dict.fromkeys(kind.__annotations__, Any)
