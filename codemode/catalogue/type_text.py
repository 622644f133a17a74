"""The writing of types as Python text, with a definition for each that has a name."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from codemode.catalogue.shapes import Field, Kind, Shape, fields_of, parts_of, shape_of
from codemode.tools.arguments import Parameter
from codemode.tools.signature import render_default
from codemode.tools.tool import Tool

__all__ = ["TypeText", "every_shape"]

_STRINGS = ("date", "datetime", "time", "timedelta", "UUID")
# What validation accepts for an argument beside the type itself.
_ACCEPTED = {
    **dict.fromkeys(_STRINGS, ("str",)),
    "Decimal": ("int", "float", "str"),
    "Fraction": ("int", "float", "str"),
}
_RESERVED = {
    *("Any", "Literal", "NotRequired", "TypedDict", "Sequence", "Set", "Mapping"),
    *_ACCEPTED,
    *dir(builtins),
}
_READ_ONLY = {"list": "Sequence", "set": "Set", "frozenset": "Set", "dict": "Mapping"}


class TypeText:
    """A writer of types, which defines each record and alias once, before its first use.

    A type of an argument is written differently from that of a value: a record
    may leave out keys that have a default. If ``lenient``, everything that
    validation accepts for an argument fits it, such as a str for a date.
    """

    lenient = False

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = sorted(tools, key=lambda tool: tool.name)
        self.taken = {part for tool in self.tools for part in tool.name.split(".")}
        self.taken |= {"artifact", "progress"}
        self.definitions: list[str] = []
        self._names: dict[tuple[Any, bool], str] = {}
        self._loose: dict[Shape, bool] = {}
        self._fields: dict[Any, list[Field]] = {}
        self._arguments = {tool.name: _arguments_of(tool) for tool in self.tools}
        self._returns = {tool.name: shape_of(tool.returns) for tool in self.tools}
        # A record that is returned has all its keys, even where it is passed as well.
        self._returned = {
            shape.source for one in self._returns.values() for _, shape in every_shape(one)
        }

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yield the shapes of all tools, each with the name of the argument that has it."""
        for tool in self.tools:
            yield from self._arguments[tool.name]
            yield "", self._returns[tool.name]

    def returns(self, tool: Tool) -> str:
        """Return the type of a tool's value."""
        return self.text(self._returns[tool.name])

    def returns_any(self, tool: Tool) -> bool:
        """Return whether nothing is known of a tool's value."""
        return self._returns[tool.name].kind is Kind.ANY

    def parameters(self, tool: Tool) -> str:
        """Return the parameters of a tool as in its ``def``."""
        parts: list[str] = []
        keyword_only = False
        shapes = dict(self._arguments[tool.name])
        for one in tool.arguments.parameters.values():
            if one.name not in tool.positional_parameters and not keyword_only:
                keyword_only = True
                parts.append("*")
            parts.append(self._parameter(one, shapes[one.name]))
        if (extra := tool.arguments.extra) is not None:
            parts.append(f"**{extra.name}{self.annotation(shapes[f'**{extra.name}'], '')}")
        return ", ".join(parts)

    def typed_parameters(self, tool: Tool) -> Iterator[tuple[Parameter, str]]:
        """Yield the parameters of a tool with their types, ``**kwargs`` last."""
        shapes = dict(self._arguments[tool.name])
        for one in tool.arguments.parameters.values():
            yield one, self.text(shapes[one.name], argument=True)
        if (extra := tool.arguments.extra) is not None:
            yield extra, self.text(shapes[f"**{extra.name}"], argument=True)

    def text(self, shape: Shape, *, argument: bool = False) -> str:
        """Return a type as text; define the records and aliases in it."""
        return " | ".join(dict.fromkeys(self._members(shape, argument)))

    def imported(self, module: str, name: str) -> str:
        """Return the name of a type that is not a builtin."""
        raise NotImplementedError

    def builtin(self, name: str) -> str:
        """Return the name of a builtin type."""
        return name

    def literal(self, shape: Shape) -> str:
        """Return the text of a Literal."""
        values = ", ".join(repr(value) for _, value in shape.values)
        return f"{self.imported('typing', 'Literal')}[{values}]"

    def annotation(self, shape: Shape, default: str) -> str:
        """Return what stands between the name of a parameter and its default."""
        return f": {self.text(shape, argument=True)}"

    def record(self, name: str, keys: Mapping[str, tuple[str, str]]) -> str:
        """Return the definition of a record from the types and notes of its keys."""
        raise NotImplementedError

    def alias(self, name: str, value: str) -> str:
        """Return the definition of an alias."""
        raise NotImplementedError

    def free_name(self, base: str) -> str:
        """Return, and take, the first name like ``base`` that nothing else has."""
        base = "".join(one if f"_{one}".isidentifier() else "_" for one in base)
        if not base.isidentifier() or keyword.iskeyword(base):
            base = f"_{base}"
        name, number = base, 1
        while name in self.taken or name in _RESERVED:
            number += 1
            name = f"{base}{number}"
        self.taken.add(name)
        return name

    def _parameter(self, one: Parameter, shape: Shape) -> str:
        if one.required:
            return f"{one.name}{self.annotation(shape, '')}"
        default = render_default(one.default)
        annotation = self.annotation(shape, default)
        # A default of a type that code would not pass, such as a Path, is of no use to it.
        if (
            annotation
            and one.default is not None
            and default not in annotation
            and type(one.default).__name__ not in _types_of_defaults(shape)
        ):
            default = "..."
        return f"{one.name}{annotation} = {default}" if annotation else f"{one.name}={default}"

    def _members(self, shape: Shape, argument: bool) -> Iterator[str]:
        loose = argument and self.lenient
        match shape.kind:
            case Kind.UNION:
                for part in shape.parts:
                    yield from self._members(part, argument)
            case Kind.ANY:
                yield self.imported("typing", "Any")
            case Kind.NONE:
                yield "None"
            case Kind.PLAIN:
                yield self.builtin(shape.name)
            case Kind.IMPORTED:
                yield self.imported(shape.module, shape.name)
                if loose:
                    yield from map(self.builtin, _ACCEPTED[shape.name])
            case Kind.LITERAL:
                yield self.literal(shape)
            case Kind.CONTAINER:
                yield self._container(shape, argument)
                if loose and shape.name == "tuple":
                    members = Shape(kind=Kind.UNION, parts=shape.parts)
                    as_list = Shape(kind=Kind.CONTAINER, name="list", parts=(members,))
                    yield self._container(as_list, argument)
            case Kind.RECORD | Kind.ALIAS:
                yield from self._named(shape, argument)

    def _container(self, shape: Shape, argument: bool) -> str:
        parts = [self.text(part, argument=argument) for part in shape.parts]
        if shape.variadic:
            parts.append("...")
        loose = argument and self.lenient and shape.name in _READ_ONLY
        if loose and (shape.name == "frozenset" or any(map(self._is_loose, shape.parts))):
            # A list[date] is not a list[date | str], but a Sequence of it.
            name = self.imported("collections.abc", _READ_ONLY[shape.name])
        else:
            name = self.builtin(shape.name)
        return f"{name}[{', '.join(parts) or '()'}]"

    def _named(self, shape: Shape, argument: bool) -> Iterator[str]:
        returned = shape.source in self._returned
        if argument and not (returned and self._has_same_keys(shape)):
            yield self._name(shape, argument=True, base=f"{shape.name}{'Input' * returned}")
            return
        loose = argument and self.lenient and self._is_loose(shape)
        # A TypedDict is not a subtype of one whose keys accept more; another type is.
        if not loose or shape.kind is Kind.RECORD:
            yield self._name(shape, argument=False, base=shape.name)
        if loose:
            yield self._name(shape, argument=True, base=f"{shape.name}Input")

    def _name(self, shape: Shape, *, argument: bool, base: str) -> str:
        """Return the name of a record or an alias, which is defined at its first use."""
        key = (shape.source, argument)
        if key not in self._names:
            self._names[key] = name = self.free_name(base)
            if shape.kind is Kind.ALIAS:
                ((_, value),) = parts_of(shape)
                definition = self.alias(name, self.text(value, argument=argument))
            else:
                keys = {
                    word: self._key(one, argument)
                    for one in self._fields_of(shape.source)
                    if (word := one.passed if argument else one.returned)
                }
                definition = self.record(name, keys)
            self.definitions.append(definition)
        return self._names[key]

    def _key(self, one: Field, argument: bool) -> tuple[str, str]:
        text = self.text(one.shape, argument=argument)
        if one.optional if argument else not one.required:
            text = f"{self.imported('typing', 'NotRequired')}[{text}]"
        return text, one.note

    def _fields_of(self, kind: Any) -> list[Field]:
        if kind not in self._fields:
            self._fields[kind] = fields_of(kind) or []
        return self._fields[kind]

    def _has_same_keys(self, shape: Shape) -> bool:
        """Return whether the records in a type have the same keys in a call as in a value."""
        return all(
            field.passed == field.returned
            for _, one in every_shape(shape)
            if one.kind is Kind.RECORD
            for field in self._fields_of(one.source)
        )

    def _is_loose(self, shape: Shape) -> bool:
        """Return whether more fits a type as an argument than as a value."""
        if shape not in self._loose:
            self._loose[shape] = any(self._accepts_more(one) for _, one in every_shape(shape))
        return self._loose[shape]

    def _accepts_more(self, shape: Shape) -> bool:
        if shape.kind is Kind.RECORD:
            fields = self._fields_of(shape.source)
            return any(one.optional and one.required for one in fields)
        read_only = shape.kind is Kind.CONTAINER and shape.name in ("tuple", "frozenset")
        return read_only or shape.kind is Kind.IMPORTED


def every_shape(
    shape: Shape, label: str = "", *, seen: set[Any] | None = None, into_records: bool = True
) -> Iterator[tuple[str, Shape]]:
    """Yield a shape and all within it, with the name of the key that has it.

    A record or alias is entered once, and not at all if its source is ``seen``.
    """
    seen = set() if seen is None else seen
    waiting = [(label, shape)]
    while waiting:
        label, one = waiting.pop()
        yield label, one
        if one.kind is Kind.RECORD and not into_records:
            continue
        if one.source is None or one.source not in seen:
            seen.add(one.source)
            waiting += [(name or label, part) for name, part in reversed(parts_of(one))]


def _types_of_defaults(shape: Shape) -> set[str]:
    """Return the names of the types that a default of this shape may have."""
    found = set()
    for _, one in every_shape(shape, into_records=False):
        found |= {one.name, *(kind.__name__ for kind, _ in one.values)}
    return found | ({"int"} if found & {"float", "Decimal"} else set())


def _arguments_of(tool: Tool) -> list[tuple[str, Shape]]:
    shapes = [(one.name, shape_of(one.hint)) for one in tool.arguments.parameters.values()]
    if (extra := tool.arguments.extra) is not None:
        shapes.append((f"**{extra.name}", shape_of(extra.hint)))
    return shapes
