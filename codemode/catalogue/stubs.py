"""The tools as a Python stub: what executed code may call, for type checkers."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from typing import Any

from codemode.catalogue.type_text import TypeText
from codemode.tools.tool import Tool

__all__ = ["render_records", "render_stubs"]

_OF_EVERY_RUN = '''\
def artifact(path: str) -> None:
    """Give a file of the work folder to the caller."""


def progress(done: float, total: float | None = None, note: str = "") -> None:
    """Report progress to the observers of the run."""
'''


def render_stubs(tools: Iterable[Tool]) -> str:
    """Return a stub file with each tool as a function, and with the types that they name.

    The stub describes what executed code sees: a dataclass, a pydantic model
    and a TypedDict become a TypedDict, an Enum its values. Arguments are
    lenient, as validation is: a date may be given as a str.
    """
    return _Stubs(tools).render()


def render_records(tools: Iterable[Tool]) -> list[str]:
    """Return the definitions of the records and aliases that tools accept and return."""
    stubs = _Records(tools)
    stubs.render()
    return stubs.definitions


class _Stubs(TypeText):
    """A writer of a stub that a type checker accepts."""

    lenient = True

    def __init__(self, tools: Iterable[Tool]) -> None:
        super().__init__(tools)
        self._imports: dict[str, set[str]] = {}

    def render(self) -> str:
        tree: dict[str, Any] = {}
        for tool in self.tools:
            *path, last = tool.name.split(".")
            branch = tree
            for step in path:
                branch = branch.setdefault(step, {})
            branch[last] = self._function(tool, last)
        blocks = [*self.definitions, _OF_EVERY_RUN, *_blocks(tree)]
        return "\n\n".join([*self._import_lines(), *blocks])

    def imported(self, module: str, name: str) -> str:
        self._imports.setdefault(module, set()).add(name)
        return f"_{name}" if name in self.taken else name

    def builtin(self, name: str) -> str:
        if name in self.taken:
            self._imports["builtins"] = set()
            return f"builtins.{name}"
        return name

    def record(self, name: str, keys: Mapping[str, tuple[str, str]]) -> str:
        typed_dict = self.imported("typing", "TypedDict")
        if not all(key.isidentifier() and not keyword.iskeyword(key) for key in keys):
            pairs = ", ".join(f"{key!r}: {hint}" for key, (hint, _) in keys.items())
            return f"{name} = {typed_dict}({name!r}, {{{pairs}}})\n"
        lines = [f"    {key}: {hint}{_comment(note)}" for key, (hint, note) in keys.items()]
        return "\n".join([f"class {name}({typed_dict}):", *(lines or ["    pass"]), ""])

    def alias(self, name: str, value: str) -> str:
        return f"type {name} = {value}\n"

    def _function(self, tool: Tool, name: str) -> str:
        kind = "async def" if tool.asynchronous else "def"
        head = f"{kind} {name}({self.parameters(tool)}) -> {self.returns(tool)}:"
        docs = [tool.description] if tool.description else []
        documented = [one for one, _ in self.typed_parameters(tool) if one.doc]
        if documented:
            docs += ["", *(f"{one.name}: {one.doc}" for one in documented)]
        return f"{head} ...\n" if not docs else f"{head}\n    {_docstring(docs)}\n"

    def _import_lines(self) -> list[str]:
        lines = []
        for module, names in sorted(self._imports.items()):
            shown = [f"{one} as _{one}" if one in self.taken else one for one in sorted(names)]
            lines.append(
                f"from {module} import {', '.join(shown)}" if names else f"import {module}"
            )
        return ["\n".join([*lines, ""])] if lines else []


class _Records(_Stubs):
    """A writer of the records alone, for people: each type as it is."""

    lenient = False


def _comment(note: str) -> str:
    """Return a note as a comment at the end of a line, or an empty string."""
    printable = "".join(one if one.isprintable() else " " for one in note)
    return f"  # {printable}" if note else ""


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
    lines = [line.encode("utf-8", "replace").decode() for line in lines]
    text = "\n    ".join("\n".join(lines).splitlines()).replace("\n    \n", "\n\n")
    printable = all(line.isprintable() for line in lines)
    if not printable or "\\" in text or '"""' in text or text.endswith('"'):
        return repr("\n".join(lines))
    return f'"""{text}"""' if len(lines) == 1 else f'"""{text}\n    """'
