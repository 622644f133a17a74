"""Advice on operations of Python whose repair does not depend on the values."""

from __future__ import annotations

import ast
import re
from types import MappingProxyType
from typing import Final

from codemode.sandbox.guest.advice.scene import MISSING, Scene, with_changed
from codemode.sandbox.guest.advice.source_text import text_of
from codemode.sandbox.guest.advice.texts import is_exactly, said
from codemode.sandbox.guest.tools.toolbox import Tools

__all__ = ["index", "method", "nothing_left", "runtime", "types", "values"]

_NO_ORDER = re.compile(r"'(\w+)' object is not subscriptable$")
_NO_LENGTH = re.compile(r"object of type '(\w+)' has no len\(\)$")
_UNHASHABLE = re.compile(r"unhashable type: '(\w+)'")
_LAZY: Final = frozenset(
    "dict_items dict_keys dict_values enumerate filter generator map reversed zip".split()
)
_NOT_COMPARED = re.compile(
    r"'[<>]=?' not supported between instances of '([\w.]+)' and '([\w.]+)'$"
)
_HASHABLE = {
    "dict": "a record (dict) cannot be a key or a member of a set: use one of its values, "
    "such as row['id']",
    "list": "a list cannot be a key or a member of a set: write tuple(...)",
    "set": "a set cannot be a key or a member of a set: write frozenset(...)",
}


# Methods of other languages, and of other types of Python.
_METHODS: Final = MappingProxyType(
    {
        "contains": "... in {0}",
        "forEach": "for one in {0}: ...",
        "has_key": "... in {0}",
        "includes": "... in {0}",
        "length": "len({0})",
        "push": "{0}.append(...)",
        "size": "len({0})",
        "startsWith": "{0}.startswith(...)",
        "toLowerCase": "{0}.lower()",
        "toString": "str({0})",
        "toUpperCase": "{0}.upper()",
        "trim": "{0}.strip()",
    }
)
_NONE_LEFT = "next() found nothing: write next(..., None), and test the value for None"


def types(error: TypeError, scene: Scene, tools: Tools) -> str:
    """Return advice on a type that an operation does not take."""
    text, node = said(error), scene.node
    if match := _UNHASHABLE.search(text):
        return _HASHABLE.get(match[1], "")
    if text.startswith(("'method' object is not", "'builtin_function_or_method'")):
        return _uncalled(node)
    if (match := _NO_ORDER.match(text) or _NO_LENGTH.match(text)) and scene.direct:
        return _as_list(match[1], node)
    if text.startswith("unsupported format string passed to NoneType"):
        return "the value is None: leave it out, or write (x or 0) for it"
    if match := _NOT_COMPARED.match(text):
        return _not_compared(match[1], match[2], node, scene)
    return ""


def values(error: ValueError, scene: Scene, tools: Tools) -> str:
    """Return advice on values that an operation does not take."""
    text, node = said(error), scene.node
    empty = text.endswith(("iterable argument is empty", "arg is an empty sequence"))
    if empty and isinstance(node, ast.Call) and len(node.args) == 1 and scene.direct:
        default = ast.keyword("default", ast.Constant(None))
        call = ast.Call(node.func, node.args, [*node.keywords, default])
        changed = with_changed(node, node, call)
        return f"there are no values: write {changed}" if changed else ""
    if text.startswith("Unknown format code") and text.endswith("object of type 'str'"):
        return "the value is text: write float(...) for it"
    if text.startswith(("too many values to unpack", "not enough values to unpack")):
        return _pairs_of_dict(scene)
    return ""


def method(error: AttributeError, scene: Scene, tools: Tools) -> str:
    """Return advice on a method of another language, asked of a type of Python's own."""
    node, wanted = scene.node, error.name
    if type(wanted) is not str or not is_exactly(error.obj, dict, list, set, str, tuple):
        return ""
    if wanted not in _METHODS or not isinstance(node, ast.Attribute):
        return ""
    return f"this is Python: write {_METHODS[wanted].format(text_of(node.value, 60))}"


def index(error: IndexError, scene: Scene, tools: Tools) -> str:
    """Return advice on an index that a list, tuple or text does not have."""
    node = scene.node
    if not scene.direct or not isinstance(node, ast.Subscript):
        return ""
    value = scene.value_of(node.value)
    if not is_exactly(value, list, tuple, str):
        return ""
    whole = text_of(node.value, 60)
    if not value:
        return f"{whole} is empty: test it first, as in `if {whole}`"
    return f"{whole} has {len(value):,} items, from [0] to [{len(value) - 1}]"


def nothing_left(error: StopIteration, scene: Scene, tools: Tools) -> str:
    """Return advice on ``next`` where no value is left."""
    return _NONE_LEFT if scene.direct else ""


def runtime(error: RuntimeError, scene: Scene, tools: Tools) -> str:
    """Return advice on a dict or set that changes while a loop reads it."""
    text, node = said(error), scene.node
    if text in ("coroutine raised StopIteration", "generator raised StopIteration"):
        return _NONE_LEFT
    if not text.endswith("changed size during iteration") or not isinstance(node, ast.expr):
        return ""
    changed = with_changed(node, node, ast.Call(ast.Name("list"), [node], []))
    return f"the loop changes what it reads: loop over {changed}" if changed else ""


def _as_list(kind: str, node: ast.AST | None) -> str:
    if kind == "set":
        function, why = "sorted", "a set has no order"
    elif kind in _LAZY:
        function, why = "list", f"a {kind} is not a list"
    else:
        return ""
    if isinstance(node, ast.Subscript):
        part = node.value
    elif isinstance(node, ast.Call) and len(node.args) == 1:
        part = node.args[0]
    else:
        return ""
    changed = with_changed(node, part, ast.Call(ast.Name(function), [part], []))
    return f"{why}: write {changed}" if changed else ""


def _uncalled(node: ast.AST | None) -> str:
    part = node.value if isinstance(node, ast.Subscript) else node
    if not isinstance(part, ast.Attribute) or node is None:
        return ""
    changed = with_changed(node, part, ast.Call(part, [], []))
    return f"{text_of(part, 60)} is a method: write {changed}" if changed else ""


def _not_compared(left: str, right: str, node: ast.AST | None, scene: Scene) -> str:
    kinds = {left.rpartition(".")[2], right.rpartition(".")[2]}
    if kinds == {"dict"}:
        return "records have no order: sort them by a field, as in key=lambda row: row['id']"
    if "NoneType" in kinds:
        return "one of the values is None: leave those out first"
    if kinds in ({"str", "date"}, {"str", "datetime"}):
        wanted = (kinds - {"str"}).pop()
        return f"one of them is text: write {wanted}.fromisoformat(...) for it"
    if "str" in kinds and kinds & {"int", "float", "Decimal"}:
        wanted = (kinds - {"str"}).pop()
        return f"one of them is text: write {wanted}(...) for it"
    return ""


def _pairs_of_dict(scene: Scene) -> str:
    statement = scene.statement
    for node in ast.walk(statement) if statement is not None else ():
        if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Tuple):
            value = scene.value_of(node.iter)
            if value is not MISSING and type(value) is dict and len(node.target.elts) == 2:
                return f"a loop over a dict gives its keys: write {text_of(node.iter, 60)}.items()"
    return ""
