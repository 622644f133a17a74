"""The tools as a model reads them: valid Python in few tokens."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from codemode.catalogue.shapes import Kind, Shape, parts_of
from codemode.catalogue.type_text import TypeText, every_shape
from codemode.catalogue.worth import says_more
from codemode.tools.tool import Tool
from codemode.values.shortening import cut

__all__ = ["RESTRICTED", "marks_of", "render_compact", "render_lines"]

_SENTENCE = re.compile(r"(?<=[.!?])\s")
_MAX_SENTENCE = 120

RESTRICTED: Final = "restricted"
"""The mark of a tool that needs a permission."""


def render_compact(tools: Iterable[Tool], *, notes: bool) -> str:
    """Return the tools in full: types, functions, descriptions and marks.

    Functions stand in the order of their names, each type before the first
    namespace or function that names it: what comes before a tool does not
    change when the tool is added, unless a Literal is now repeated. With
    ``notes``, those on arguments and fields that say more than name and type.
    """
    return _Compact(tools, notes=notes).render()


def render_lines(tools: Iterable[Tool]) -> str:
    """Return the signatures with the first sentence of each description; records are not shown."""
    return _Lines(tools).render()


def marks_of(tool: Tool) -> list[str]:
    """Return what a model should know of a call beside its types."""
    return [
        *([tool.effects] if tool.effects else []),
        *([RESTRICTED] if tool.permission is not None else []),
    ]


class _Compact(TypeText):
    """A writer with records and functions on one line each, without imports."""

    def __init__(self, tools: Iterable[Tool], *, notes: bool) -> None:
        super().__init__(tools)
        self._notes = notes
        self._repeated = self._find_repeated()

    def render(self) -> str:
        tree: dict[str, Any] = {}
        for tool in self.tools:
            branch = tree
            *path, last = tool.name.split(".")
            for step in path:
                branch = branch.setdefault(step, {})
            branch[last] = tool
        lines: list[str] = []
        for name, member in tree.items():
            block = list(self._lines(name, member))
            lines += [*self._new_definitions(), *block]
        return "\n".join(lines)

    def imported(self, module: str, name: str) -> str:
        return f"{module}.{name}" if name in self.taken else name

    def literal(self, shape: Shape) -> str:
        # Without spaces, quotes and comma are one token.
        text = f"Literal[{','.join(repr(value) for _, value in shape.values)}]"
        if shape.values not in self._repeated:
            return text
        base, name = self._repeated[shape.values]
        if not name:
            name = self.free_name(base)
            self._repeated[shape.values] = base, name
            self.definitions.append(self.alias(name, text))
        return name

    def annotation(self, shape: Shape, default: str) -> str:
        if shape.kind is Kind.ANY:
            return ""
        hint = self.text(shape, argument=True)
        # The default says already that None is accepted.
        return f": {hint.removesuffix(' | None') if default == 'None' else hint}"

    def record(self, name: str, keys: Mapping[str, tuple[str, str]]) -> str:
        notes = [
            f"{key}: {note.rstrip('.')}"
            for key, (hint, note) in keys.items()
            if self._notes and note and says_more(note, key, hint, name)
        ]
        if not all(key.isidentifier() and not keyword.iskeyword(key) for key in keys):
            pairs = ", ".join(f"{key!r}: {hint}" for key, (hint, _) in keys.items())
            text = f"{name} = TypedDict({name!r}, {{{pairs}}})"
        else:
            fields = "; ".join(f"{key}: {hint}" for key, (hint, _) in keys.items())
            text = f"class {name}(TypedDict): {fields or 'pass'}"
        return f"{text}  # {_printable('; '.join(notes))}" if notes else text

    def alias(self, name: str, value: str) -> str:
        return f"{name} = {value}"

    def _container(self, shape: Shape, argument: bool) -> str:
        # Of a tuple, Any says how many items it has.
        says_nothing = shape.variadic or shape.name != "tuple"
        if says_nothing and all(part.kind is Kind.ANY for part in shape.parts):
            return shape.name
        return super()._container(shape, argument)

    def _new_definitions(self) -> list[str]:
        found, self.definitions = self.definitions, []
        return found

    def _description(self, tool: Tool) -> str:
        """Return the description of a tool on one line, if it says more than its signature."""
        description = " ".join(tool.description.split())
        known = (tool.name, self.parameters(tool), self.returns(tool))
        return description if says_more(description, *known) else ""

    def _notes_of(self, tool: Tool) -> str:
        """Return the notes on a tool's arguments that say more than their names and types."""
        if not self._notes:
            return ""
        return "; ".join(
            f"{one.name}: {one.doc.rstrip('.')}"
            for one, hint in self.typed_parameters(tool)
            if one.doc and says_more(one.doc, tool.name, one.name, hint)
        )

    def _lines(self, name: str, member: Tool | Mapping[str, Any]) -> Iterator[str]:
        if isinstance(member, Tool):
            yield self._function(member, name)
            return
        yield f"class {name}:"
        for inner, one in member.items():
            for line in self._lines(inner, one):
                yield f" {line}"

    def _function(self, tool: Tool, name: str) -> str:
        kind = "async def" if tool.asynchronous else "def"
        parameters, returns = self.parameters(tool), self.returns(tool)
        arrow = "" if self.returns_any(tool) else f" -> {returns}"
        described = " ".join(filter(None, (self._description(tool), self._notes_of(tool))))
        body = _string(described) if described else "..."
        marks = marks_of(tool)
        comment = f" # {', '.join(marks)}" if marks else ""
        return f"{kind} {name}({parameters}){arrow}: {body}{comment}"

    def _find_repeated(self) -> dict[tuple[Any, ...], tuple[str, str]]:
        """Return the Literals that are written more than once, each with the base of its name."""
        counts: Counter[tuple[Any, ...]] = Counter()
        defined: set[str] = set()
        bases: dict[tuple[Any, ...], str] = {}
        seen: set[Any] = set()
        for label, shape in self.shapes():
            for inner, one in every_shape(shape, label, seen=seen):
                if one.source is not None:
                    defined.add(one.name)
                if one.kind is Kind.LITERAL and len(one.values) > 1:
                    counts[one.values] += 1
                    words = (one.name or inner or "Choice").strip("*").split("_")
                    bases.setdefault(one.values, "".join(f"{w[:1].upper()}{w[1:]}" for w in words))
        return {
            values: (f"{bases[values]}{'Choice' * (bases[values] in defined)}", "")
            for values, count in counts.items()
            if count > 1
        }


class _Lines(_Compact):
    """A writer of signatures alone."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        super().__init__(tools, notes=False)
        self._open: list[Shape] = []

    def _find_repeated(self) -> dict[tuple[Any, ...], tuple[str, str]]:
        return {}

    def _new_definitions(self) -> list[str]:
        return []

    def _named(self, shape: Shape, argument: bool) -> Iterator[str]:
        # The name of an alias would say nothing, as its definition is not shown.
        if shape.kind is not Kind.ALIAS or shape in self._open:
            yield shape.name
            return
        self._open.append(shape)
        ((_, value),) = parts_of(shape)
        yield self.text(value, argument=argument)
        self._open.pop()

    def _description(self, tool: Tool) -> str:
        sentence = _SENTENCE.split(super()._description(tool), maxsplit=1)[0]
        return cut(sentence, _MAX_SENTENCE)


def _string(text: str) -> str:
    text = _printable(text)
    return repr(text) if '"' in text or "\\" in text else f'"{text}"'


def _printable(text: str) -> str:
    # Python refuses a docstring with half of a surrogate pair, even where it is escaped.
    return "".join(one if one.isprintable() else " " for one in text)
