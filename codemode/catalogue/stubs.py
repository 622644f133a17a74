"""The tools as a Python stub: what executed code may call, for type checkers and for models."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import fractions
import keyword
import re
import types
import typing
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from codemode.tools.arguments import Parameter
from codemode.tools.signature import render_default
from codemode.tools.tool import Tool

__all__ = ["render_records", "render_stubs"]

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
# Executed code receives, and may pass, a list, a set or a dict for these types.
_LISTS = (
    *(list, collections.abc.Sequence, collections.abc.MutableSequence),
    *(collections.abc.Collection, collections.abc.Iterable, collections.abc.Iterator),
)
_SETS = (set, collections.abc.Set, collections.abc.MutableSet)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_PROGRESS = '''\
def progress(done: float, total: float | None = None, note: str = "") -> None:
    """Report to whoever watches."""
'''


def render_stubs(tools: Iterable[Tool]) -> str:
    """Return a stub file with each tool as a function, and with the types that they name.

    The stub describes what executed code sees: a dataclass, a pydantic model
    and a TypedDict become a TypedDict, an Enum its values.
    """
    return _Stubs(list(tools)).render()


def render_records(tools: Iterable[Tool]) -> list[str]:
    """Return only the classes of such a stub: the records that tools accept and return."""
    stubs = _Stubs(list(tools))
    stubs.render()
    return stubs.records


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    hint: Any
    required: bool


class _Stubs:
    def __init__(self, tools: list[Tool]) -> None:
        self._tools = sorted(tools, key=lambda tool: tool.name)
        self._taken = {part for tool in tools for part in tool.name.split(".")} | {"progress"}
        self._imports: dict[str, set[str]] = {}
        self._names: dict[type, str] = {}
        self.records: list[str] = []
        self._open: list[typing.TypeAliasType] = []
        self._of_arguments = False

    def render(self) -> str:
        # Return types come first: a returned record has all its keys, while a
        # record that is only ever passed may leave out those with a default.
        returns = {tool.name: self._hint(tool.returns) for tool in self._tools}
        self._of_arguments = True
        tree: dict[str, Any] = {}
        for tool in self._tools:
            *path, last = tool.name.split(".")
            branch = tree
            for step in path:
                branch = branch.setdefault(step, {})
            branch[last] = self._function(tool, last, returns[tool.name])
        blocks = [*self.records, _PROGRESS, *_blocks(tree)]
        return "\n\n".join([*self._import_lines(), *blocks])

    def _function(self, tool: Tool, name: str, returns: str) -> str:
        parts: list[str] = []
        keyword_only = False
        for one in tool.arguments.parameters.values():
            if one.name not in tool.positional_parameters and not keyword_only:
                keyword_only = True
                parts.append("*")
            parts.append(self._parameter(one))
        if tool.arguments.extra is not None:
            extra = tool.arguments.extra
            parts.append(f"**{extra.name}: {self._hint(extra.hint)}")
        kind = "async def" if tool.asynchronous else "def"
        head = f"{kind} {name}({', '.join(parts)}) -> {returns}:"
        docs = [tool.description] if tool.description else []
        documented = [one for one in tool.arguments.parameters.values() if one.doc]
        if documented:
            docs += ["", *(f"{one.name}: {one.doc}" for one in documented)]
        return f"{head} ...\n" if not docs else f"{head}\n    {_docstring(docs)}\n"

    def _parameter(self, one: Parameter) -> str:
        hint = self._hint(one.hint)
        if one.required:
            return f"{one.name}: {hint}"
        default = render_default(one.default)
        # A default of a type that code would not pass, such as a tuple, is of no use to it.
        fits = one.default is None or default in hint
        if not fits and type(one.default).__name__ not in re.findall(r"\w+", hint):
            default = "..."
        return f"{one.name}: {hint} = {default}"

    def _hint(self, hint: Any) -> str:
        """Return the type that executed code gets or passes for a hint; Any if unknown."""
        if hint is None or hint is types.NoneType:
            return "None"
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if isinstance(hint, typing.TypeAliasType):
            return self._alias(hint)
        if isinstance(hint, typing.NewType):
            return self._hint(hint.__supertype__)
        if origin in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final):
            return self._hint(arguments[0])
        if origin is typing.Union or origin is types.UnionType:
            return self._union(arguments)
        if origin is typing.Literal:
            return self._literal(arguments)
        kind = origin or hint
        return self._type(kind, arguments) if isinstance(kind, type) else self._typing("Any")

    def _alias(self, alias: typing.TypeAliasType) -> str:
        if alias in self._open:
            return self._typing("Any")  # The alias contains itself.
        self._open.append(alias)
        shown = self._hint(alias.__value__)
        self._open.pop()
        return shown

    def _type(self, kind: type, arguments: tuple[Any, ...]) -> str:
        if kind in _PLAIN:
            return self._builtin(kind.__name__)
        if kind in _IMPORTED:
            return self._imported(kind.__module__, kind.__name__)
        if kind in _DICTS:
            key, value = arguments or (Any, Any)
            return f"{self._builtin('dict')}[{self._hint(key)}, {self._hint(value)}]"
        if kind is tuple:
            items = [
                "..." if one is Ellipsis else self._hint(one) for one in arguments or (Any, ...)
            ]
            return f"{self._builtin('tuple')}[{', '.join(items) or '()'}]"
        if kind is frozenset:
            return f"{self._builtin('frozenset')}[{self._union(arguments or [Any])}]"
        if kind in _LISTS or kind in _SETS:
            name = self._builtin("list" if kind in _LISTS else "set")
            members = [one for one in arguments if one is not Ellipsis] or [Any]
            return f"{name}[{self._union(members)}]"
        if issubclass(kind, enum.Enum):
            return self._literal(tuple(member.value for member in kind))
        fields = _fields_of(kind, may_omit=self._of_arguments)
        return self._typing("Any") if fields is None else self._record(kind, fields)

    def _union(self, arguments: Iterable[Any]) -> str:
        return " | ".join(dict.fromkeys(map(self._hint, arguments)))

    def _literal(self, values: Iterable[Any]) -> str:
        plain = [one.value if isinstance(one, enum.Enum) else one for one in values]
        if all(one is None or type(one) in (str, int, bool, bytes) for one in plain):
            return f"{self._typing('Literal')}[{', '.join(map(repr, plain))}]"
        return self._union(type(one) for one in plain)

    def _record(self, kind: type, fields: Mapping[str, _Field]) -> str:
        """Return the name of the TypedDict that stands for a type, written at its first use."""
        if kind in self._names:
            return self._names[kind]
        name = base = "".join(one if one.isidentifier() else "_" for one in kind.__name__)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}{number}"
        self._taken.add(name)
        self._names[kind] = name
        hints = {key: self._field(one) for key, one in fields.items()}
        typed_dict = self._typing("TypedDict")
        if all(key.isidentifier() and not keyword.iskeyword(key) for key in hints):
            lines = [f"    {key}: {hint}" for key, hint in hints.items()] or ["    pass"]
            self.records.append("\n".join([f"class {name}({typed_dict}):", *lines, ""]))
        else:
            pairs = ", ".join(f"{key!r}: {hint}" for key, hint in hints.items())
            self.records.append(f"{name} = {typed_dict}({name!r}, {{{pairs}}})\n")
        return name

    def _field(self, one: _Field) -> str:
        hint = self._hint(one.hint)
        return hint if one.required else f"{self._typing('NotRequired')}[{hint}]"

    def _builtin(self, name: str) -> str:
        if name in self._taken:
            self._imports["builtins"] = set()
            return f"builtins.{name}"
        return name

    def _typing(self, name: str) -> str:
        return self._imported("typing", name)

    def _imported(self, module: str, name: str) -> str:
        self._imports.setdefault(module, set()).add(name)
        return f"_{name}" if name in self._taken else name

    def _import_lines(self) -> list[str]:
        lines = []
        for module, names in sorted(self._imports.items()):
            shown = [f"{one} as _{one}" if one in self._taken else one for one in sorted(names)]
            lines.append(
                f"from {module} import {', '.join(shown)}" if names else f"import {module}"
            )
        return ["\n".join([*lines, ""])] if lines else []


def _fields_of(kind: type, *, may_omit: bool) -> dict[str, _Field] | None:
    """Return the keys of the dict that stands for a class, or None if it is not a record."""
    if typing.is_typeddict(kind):
        hints = _hints_of(kind)
        required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
        # Postponed annotations hide Required and NotRequired from __required_keys__.
        marks = {typing.Required: True, typing.NotRequired: False}
        return {
            key: _Field(hint, marks.get(typing.get_origin(hint), key in required))
            for key, hint in hints.items()
        }
    if issubclass(kind, BaseModel):
        return {
            key: _Field(field.annotation, field.is_required() or not may_omit)
            for key, field in kind.model_fields.items()
        }
    if dataclasses.is_dataclass(kind):
        hints = _hints_of(kind)
        nothing = dataclasses.MISSING
        return {
            field.name: _Field(
                hints.get(field.name, Any),
                not may_omit or (field.default is nothing and field.default_factory is nothing),
            )
            for field in dataclasses.fields(kind)
        }
    return None


def _hints_of(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # Names that only a type checker knows.
        return dict.fromkeys(kind.__annotations__, Any)


def _blocks(tree: Mapping[str, Any]) -> list[str]:
    """Return the functions of a branch, and a class for each namespace below it."""
    blocks = []
    for name, member in sorted(tree.items()):
        if isinstance(member, str):
            blocks.append(member)
            continue
        lines = [f"class {name}:"]
        for block in _blocks(member):
            static = [] if block.startswith("class ") else ["@staticmethod"]
            lines += [f"    {line}" if line else "" for line in [*static, *block.splitlines()]]
            lines.append("")
        blocks.append("\n".join(lines))
    return blocks


def _docstring(lines: list[str]) -> str:
    text = "\n    ".join("\n".join(lines).splitlines()).replace("\n    \n", "\n\n")
    if "\\" in text or '"""' in text or text.endswith('"'):
        return repr("\n".join(lines))
    return f'"""{text}"""' if len(lines) == 1 else f'"""{text}\n    """'
