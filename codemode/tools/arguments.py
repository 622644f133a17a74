"""The parameters of a tool: the check of a call's arguments, and their JSON Schema."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
)

from codemode._suggestions import near_names
from codemode.errors.base import ToolRegistrationError
from codemode.tools.bounds import out_of_bounds
from codemode.tools.complaints import explain
from codemode.tools.costs.metering import TooManyTriesError, Validator
from codemode.tools.errors import InvalidArguments
from codemode.tools.guard import guarded_validator, kinds_of
from codemode.tools.notes import note_in
from codemode.tools.signature import members_of, render_hint
from codemode.values.shortening import shorten

__all__ = ["Arguments", "GivenSchema", "Parameter", "build_arguments", "json_schema_of"]

Adapter = TypeAdapter[Any]
type Check = tuple[Adapter | None, Validator | None, bool]
"""``adapter``, ``validator`` and ``decimals`` of a parameter."""

_MAX_PROBLEMS = 5
_PLAIN = frozenset({str, int, float, bool, bytes, Decimal, date, datetime, time, timedelta, UUID})
_OF_TEXT = frozenset({"decimal", "fraction", "function-plain"})
"""Kinds of schemas that may make a large number of a short string."""


@dataclass(frozen=True, slots=True)
class GivenSchema:
    """The JSON Schema from which a type was made, as an annotation of that type."""

    schema: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a tool.

    ``adapter`` is None where any value is accepted. ``validator`` has the rules
    of ``adapter``, with a bound on the cost of a hostile value. ``decimals`` is
    True where strings of any length may become numbers.
    """

    name: str
    hint: Any
    required: bool
    default: Any
    doc: str
    adapter: Adapter | None
    validator: Validator | None
    decimals: bool

    @property
    def alike(self) -> tuple[str, str] | None:
        """Names of two records in the type that make nested values costly to check."""
        return getattr(self.validator, "alike", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The parameters of one tool, against which the arguments of its calls are checked.

    ``extra`` stands for ``**kwargs`` and is None where there are none. No call
    may use the ``reserved`` names: the caller's process sets those itself. A
    tool from JSON Schema has that ``schema``; ``properties`` then has, for each
    parameter of another name than its property, the name of the property. A
    call may use either name, and the function gets that of the property.
    """

    parameters: Mapping[str, Parameter]
    extra: Parameter | None
    reserved: frozenset[str]
    signature: str
    properties: Mapping[str, str] = field(default_factory=dict)
    schema: dict[str, Any] | None = None
    _parameter_of: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parameter_of = {key: name for name, key in self.properties.items()}
        object.__setattr__(self, "_parameter_of", parameter_of)

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given arguments, converted to their types.

        Conversion is lenient: ``"5"`` is accepted as an int, an ISO string as a
        date. A parameter that is left out keeps the function's own default.
        Raises InvalidArguments, in plain words and with the signature.
        """
        problems: list[str] = []
        meant: set[str] = set()
        checked: dict[str, Any] = {}
        for name, value in arguments.items():
            if len(problems) >= _MAX_PROBLEMS:
                break  # executed code decides how many arguments there are
            parameter = self.parameters.get(self._parameter_of.get(name, name))
            if parameter is None and name not in self.reserved:
                parameter = self.extra
            key = self.properties.get(name, name)
            if parameter is None:
                near = near_names(name, self.parameters)
                meant.update(near)
                problems.append(_unexpected(name, near))
            elif key in checked:
                problems.append(f"argument {name!r} is given twice, under two names")
            elif parameter.validator is None:
                checked[key] = value
            elif (problem := out_of_bounds(value, texts=parameter.decimals)) is not None:
                problems.append(f"argument {name!r} {problem}")
            else:
                try:
                    checked[key] = parameter.validator.validate_python(value)
                except ValidationError as error:
                    problems += explain(name, value, parameter.hint, error)
                except TooManyTriesError as error:
                    problems.append(_too_many_tries(name, parameter, error))
        problems += (
            f"argument {name!r} is missing"
            for name, parameter in self.parameters.items()
            if parameter.required
            and name not in arguments
            and name not in meant
            and self.properties.get(name, name) not in arguments
        )
        if problems:
            shown = "; ".join(problems[:_MAX_PROBLEMS])
            more = "; there may be more" if len(problems) >= _MAX_PROBLEMS else ""
            raise InvalidArguments(f"{shown}{more}. The signature is {self.signature}")
        return checked

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the arguments as one object."""
        if self.schema is not None:
            return self.schema
        keyed = [
            (name, parameter.adapter or TypeAdapter(Any))
            for name, parameter in self.parameters.items()
        ]
        properties, definitions = _schemas(keyed)
        for name, parameter in self.parameters.items():
            if parameter.doc:
                properties[name].setdefault("description", parameter.doc)
            if not parameter.required:
                _add_default(properties[name], parameter.default)
        schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": [one.name for one in self.parameters.values() if one.required],
            "additionalProperties": self.extra is not None,
        }
        if definitions:
            schema["$defs"] = definitions
        return schema


def build_arguments(
    *,
    tool_name: str,
    parameters: list[inspect.Parameter],
    hints: Mapping[str, Any],
    docs: Mapping[str, str],
    reserved: frozenset[str],
    signature: str,
) -> Arguments:
    """Return the Arguments of a function's parameters. Raises ToolRegistrationError."""
    named: dict[str, Parameter] = {}
    extra = None
    for one in parameters:
        hint = hints.get(one.name, Any)
        if one.default is None and hint is not Any and not _admits_none(hint):
            # ``city: str = None`` is common, so a call may pass that None too.
            hint = typing.Optional[hint]  # noqa: UP045 - works for every kind of hint
        adapter, validator, decimals = _check(tool_name, one.name, hint)
        parameter = Parameter(
            name=one.name,
            hint=hint,
            required=one.default is one.empty,
            default=None if one.default is one.empty else one.default,
            doc=note_in(hint) or docs.get(one.name, ""),
            adapter=adapter,
            validator=validator,
            decimals=decimals,
        )
        if one.kind is one.VAR_KEYWORD:
            extra = parameter
        else:
            named[one.name] = parameter
    return Arguments(parameters=named, extra=extra, reserved=reserved, signature=signature)


def _unexpected(name: str, near: list[str]) -> str:
    suggestion = f" (did you mean {near[0]!r}?)" if near else ""
    return f"there is no argument {shorten(name)}{suggestion}"


def _too_many_tries(name: str, parameter: Parameter, error: TooManyTriesError) -> str:
    if error.of_text:
        return (
            f"argument {name!r} has too much text to be matched against its patterns; send "
            "shorter texts, or fewer in each call"
        )
    return (
        f"argument {name!r} fits {shorten(render_hint(parameter.hint))} in more ways than can be "
        "tried; send a smaller or less nested value, or give each record in it the keys of "
        "one type only"
    )


def json_schema_of(hint: Any) -> dict[str, Any]:
    """Return the JSON Schema of a return type, empty where it has none."""
    for one in getattr(hint, "__metadata__", ()):
        if isinstance(one, GivenSchema):
            return one.schema
    try:
        # A model travels under the names of its fields.
        return _try_adapter(hint).json_schema(by_alias=False, mode="serialization")
    except PydanticUserError:
        return {}


def _admits_none(hint: Any) -> bool:
    return any(one in (None, types.NoneType) for one in members_of(hint))


def _check(tool_name: str, name: str, hint: Any) -> Check:
    if hint is Any or hint is inspect.Parameter.empty:
        return None, None, False
    try:
        return _check_of_plain(hint) if _is_plain(hint) else _check_of(hint)
    except PydanticUndefinedAnnotation as error:
        raise ToolRegistrationError(
            f"tool {tool_name!r}: the hint {render_hint(hint)} of parameter {name!r} names "
            f"{error.name!r}, which cannot be found; import it where the type is defined"
        ) from error
    except PydanticUserError as error:
        raise ToolRegistrationError(
            f"tool {tool_name!r}: no value can be checked against the hint "
            f"{render_hint(hint)} of parameter {name!r}; use plain types, a dataclass, "
            "a pydantic model, or Any"
        ) from error


def _is_plain(hint: Any) -> bool:
    """Return whether a hint is a plain type, a list of such, or one of these or None."""
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case None:
            return isinstance(hint, type) and hint in _PLAIN
        case origin if origin is list:
            return _is_plain(arguments[0])
        case typing.Union | types.UnionType:
            # Of two real types, equal unions may have another order.
            return (
                len(arguments) == 2 and arguments[1] is types.NoneType and _is_plain(arguments[0])
            )
    return False


def _check_of(hint: Any) -> Check:
    adapter = _try_adapter(hint)
    decimals = not _OF_TEXT.isdisjoint(kinds_of(adapter.core_schema))
    return adapter, guarded_validator(adapter), decimals


_check_of_plain = functools.lru_cache(maxsize=256)(_check_of)
"""Most parameters of many tools have the same few types, and each check takes long to build."""


def _try_adapter(hint: Any) -> Adapter:
    try:
        adapter: Adapter = TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        if not _made_of_types(hint):
            raise
        # Pydantic does not know this class, so any instance of it is accepted.
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    if not adapter.pydantic_complete:
        adapter.rebuild(raise_errors=True)
    return adapter


def _made_of_types(hint: Any) -> bool:
    """Return whether a hint consists of types, and is not a slip such as ``any`` or ``3``."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return True
    if origin is not None:
        parts = typing.get_args(hint)
        return all(map(_made_of_types, parts[:1] if origin is typing.Annotated else parts))
    if isinstance(hint, list):
        return all(map(_made_of_types, hint))
    return hint in (None, Ellipsis) or isinstance(hint, type | typing.TypeVar)


def _schemas(keyed: list[tuple[str, Adapter]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of each parameter, and the definitions that the schemas share."""
    usable: list[tuple[str, Adapter]] = []
    for name, adapter in keyed:
        try:
            adapter.json_schema()
        except PydanticInvalidForJsonSchema:
            usable.append((name, TypeAdapter(Any)))
        else:
            usable.append((name, adapter))
    if not usable:
        return {}, {}
    found, shared = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in usable]
    )
    properties = {name: dict(found[name, "validation"]) for name, _ in usable}
    return properties, shared.get("$defs", {})


def _add_default(schema: dict[str, Any], default: Any) -> None:
    if default is None or isinstance(default, bool | int | float | str):
        schema.setdefault("default", default)
