"""Imports of tools in a syntax tree, and the names that lead to tools by them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, Final

from codemode.sandbox.guest.code.closer import Known
from codemode.sandbox.guest.code.survey import Survey
from codemode.sandbox.guest.code.tool_calls import CONTAINERS
from codemode.sandbox.imports import INSTALLED

__all__ = ["bind_imports"]

_MAKERS: Final = frozenset(
    {
        *("codecs", "importlib", "io", "open", "os", "pathlib", "pkgutil", "runpy", "shutil"),
        *("site", "sys", "tarfile", "tempfile", "types", "zipfile", "zipimport"),
    }
)
"""Modules, and a builtin, by which code may make a module of its own before it imports it."""

_find_spec = PathFinder.find_spec
_modules = sys.modules
_stdlib_names = sys.stdlib_module_names


def bind_imports(found: Survey, known: Known) -> dict[str, Any]:
    """Add the names that imports bind to the bound ones, and return those that lead to tools.

    These names are bound by nothing else, so that they stand for the same tool,
    namespace or ``tools`` wherever the code reads them.
    """
    leading: dict[str, Any] = {}
    for name, path, whole in _imports(found):
        thing = None if _at(whole, known) is None else _at(path, known)
        if thing is None or leading.setdefault(name, thing) is not thing:
            found.bound.add(name)
    if leading:
        found.bound.update(one.name for one in found.async_functions if one.name in leading)
        if _may_make_modules(found):
            found.bound.update(leading)
    return {name: thing for name, thing in leading.items() if name not in found.bound}


_Path = Sequence[str]


def _imports(found: Survey) -> Iterator[tuple[str, _Path, _Path]]:
    """Yield each name that an import binds, the path that it leads to, and the path imported."""
    for node in found.imports:
        for alias in node.names:
            first, *others = whole = alias.name.split(".")
            if isinstance(node, ast.ImportFrom):
                path = () if node.level or not node.module else (*node.module.split("."), first)
                yield alias.asname or alias.name, path, path
            elif alias.asname and others:
                yield alias.asname, whole, whole
            else:
                yield alias.asname or first, (first,), whole


def _at(path: _Path, known: Known) -> Any:
    """Return the tool, the namespace or ``tools`` at a path; None where a module may be."""
    if not path or path[0] not in known.tools or _is_module(path[0]):
        return None
    first, *others = path
    thing = known.names[first] if first in known.names else known.builtins.get(first)
    for step in others:
        if type(thing) not in CONTAINERS:
            return None
        try:
            thing = getattr(thing, step)
        except AttributeError:
            return None
    return thing


def _is_module(name: str) -> bool:
    """Return whether a module of this name goes before the tools."""
    if name in _modules:
        return type(_modules[name]) is ModuleType
    return name in _stdlib_names or name in INSTALLED or _find_spec(name) is not None


def _may_make_modules(found: Survey) -> bool:
    imported = {path[0] for _, _, path in _imports(found) if path}
    return not (_MAKERS.isdisjoint(found.loads) and _MAKERS.isdisjoint(imported))
