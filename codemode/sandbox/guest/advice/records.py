"""Advice on records, which are dicts: their keys, and None in place of one."""

from __future__ import annotations

import ast
from itertools import islice
from types import BuiltinFunctionType, FunctionType
from typing import Any

from codemode.sandbox.guest.advice.near import cut_name, similar_names
from codemode.sandbox.guest.advice.scene import MISSING, Scene, entry, name_of_type, with_changed
from codemode.sandbox.guest.advice.source_text import text_of
from codemode.sandbox.guest.advice.texts import argument, is_exactly, said
from codemode.sandbox.guest.tools.toolbox import Tools

__all__ = ["attribute", "key", "operand"]

_MOST_KEYS = 20
_KEYS_LOOKED_AT = 1_000
_ROWS_LOOKED_AT = 10_000
_METHODS = frozenset(dir(dict))


def attribute(error: AttributeError, scene: Scene, tools: Tools) -> str:
    """Return advice on a field that is read like an attribute."""
    wanted, thing, node = error.name, error.obj, scene.node
    if type(wanted) is not str or not isinstance(node, ast.Attribute):
        return ""
    if thing is None and said(error).startswith("'NoneType' object"):
        return _none(node.value, scene)
    if type(thing) is dict:
        return _field(wanted, thing, node)
    if type(thing) is list and thing and entry(thing[0], wanted) is not MISSING:
        row = ast.Subscript(node.value, ast.Constant(0), ast.Load())
        changed = with_changed(node, node, ast.Subscript(row, ast.Constant(wanted), ast.Load()))
        return f"it is a list of records: loop over it, or write {changed}" if changed else ""
    return ""


def key(error: KeyError, scene: Scene, tools: Tools) -> str:
    """Return advice on a key that a dict does not have, with the nearest or all of its keys."""
    wanted = argument(error)
    if scene.library == "<frozen os>" and type(wanted) is str:
        return "a run has no environment variables: data comes as inputs or from tools"
    if not scene.direct:
        return ""
    base = _base(scene.node)
    if base is None:
        return ""
    if type(wanted) is slice:
        return f"{text_of(base, 60)} is a dict, which has no slices: use list(...)[:n]"
    if not is_exactly(wanted, str, int):
        return ""
    record = scene.value_of(base)
    if record is MISSING and isinstance(base, ast.Name):
        record = _row_without(scene.looped(base.id)[0], wanted)
    if type(record) is dict:
        return _keys(wanted, record) if entry(record, wanted) is MISSING else ""
    fields = _fields_of_tool(base, scene)
    return _nearest(wanted, fields, "its keys are") if fields and type(wanted) is str else ""


def operand(error: TypeError, scene: Scene, tools: Tools) -> str:
    """Return advice on None, lists and texts that are used as if they were records."""
    text, node = said(error), scene.node
    if not scene.direct:
        return ""
    if "NoneType" in text:
        part = _none_in(text, node, scene)
        return "" if part is None else _none(part, scene)
    if not isinstance(node, ast.Subscript):
        return ""
    whole = text_of(node.value, 60)
    if text.startswith("list indices must be integers or slices, not str"):
        row = ast.Subscript(node.value, ast.Constant(0), ast.Load())
        changed = with_changed(node, node, ast.Subscript(row, node.slice, ast.Load()))
        return f"{whole} is a list: loop over it, or write {changed}" if changed else ""
    if text.startswith("string indices must be integers"):
        return _text(node, whole, scene)
    return ""


def _field(wanted: str, record: dict[Any, Any], node: ast.Attribute) -> str:
    names = _names(record)
    near = [wanted] if wanted in names else similar_names(wanted, names, most=1)
    if not near:
        # Perhaps a slip in the name of a method, on which Python has its own suggestion.
        if not names or similar_names(wanted, _METHODS, most=1):
            return ""
        return f"records are dicts, and this one has {_all(names)}"
    item = ast.Subscript(node.value, ast.Constant(near[0]), ast.Load())
    return f"records are dicts: write {with_changed(node, node, item) or f'[{near[0]!r}]'}"


def _keys(wanted: object, record: dict[Any, Any]) -> str:
    if not record:
        return "the dict is empty"
    if type(wanted) is int:
        if wanted.bit_length() < 64 and str(wanted) in _names(record):
            return f"its keys are text: write [{str(wanted)!r}]"
    elif type(wanted) is str and wanted[:20].lstrip("-").isdecimal():
        numbers = [one for one in islice(record, _KEYS_LOOKED_AT) if type(one) is int]
        if any(str(one) == wanted for one in numbers if one.bit_length() < 64):
            return f"its keys are numbers: write [{wanted}]"
    names = _names(record)
    if names and type(wanted) is str:
        return _nearest(wanted, names, "its keys are")
    if names:
        return f"its keys are {_all(names)}"
    kinds = {name_of_type(one) for one in islice(record, _KEYS_LOOKED_AT)}
    return f"its keys are of type {', '.join(sorted(kinds)[:3])}"


def _nearest(wanted: str, names: list[str], otherwise: str) -> str:
    near = similar_names(wanted, names, most=3)
    if near:
        return f"Did you mean {' or '.join(repr(cut_name(one)) for one in near)}?"
    return f"{otherwise} {_all(names)}"


def _all(names: list[str]) -> str:
    shown = ", ".join(repr(cut_name(one, 40)) for one in names[:_MOST_KEYS])
    return shown if len(names) <= _MOST_KEYS else f"{shown}, …"


def _names(record: dict[Any, Any]) -> list[str]:
    return [one for one in islice(record, _KEYS_LOOKED_AT) if type(one) is str]


def _base(node: ast.AST | None) -> ast.expr | None:
    """Return the expression of the dict in ``d[k]`` and ``d.pop(k)``."""
    if isinstance(node, ast.Subscript):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value if node.func.attr == "pop" else None
    return None


def _row_without(rows: Any, wanted: object) -> Any:
    """Return the first record in a list that has not this key."""
    if type(rows) is not list:
        return MISSING
    for row in islice(rows, _ROWS_LOOKED_AT):
        if type(row) is dict and not any(
            type(one) is type(wanted) and one == wanted for one in islice(row, _KEYS_LOOKED_AT)
        ):
            return row
    return MISSING


def _fields_of_tool(base: ast.expr, scene: Scene) -> list[str]:
    """Return the fields of the record that a tool's call returns, as its signature says."""
    if (
        isinstance(base, ast.Subscript)
        and isinstance(base.slice, ast.Constant)
        and type(base.slice.value) is int
    ):
        base = base.value
    call = base.value if isinstance(base, ast.Await) else base
    if not isinstance(call, ast.Call):
        return []
    spec = scene.tool_of(scene.value_of(call.func))
    if spec is None:
        return []
    returned = spec.signature.rpartition(" -> ")[2]
    for record in spec.records:
        name, _, fields = record.partition(" = ")
        if returned in (name, f"{name} | None", f"list[{name}]"):
            names = (one.partition(":")[0] for one in fields.strip("{}").split(", "))
            return [one for one in names if one.isidentifier()]
    return []


def _none_in(text: str, node: ast.AST | None, scene: Scene) -> ast.expr | None:
    """Return the expression that is None and is used like a record, a list or a number."""
    if text.startswith(("'NoneType' object is not subscriptable", "'NoneType' object does not")):
        return node.value if isinstance(node, ast.Subscript) else None
    if text.startswith("cannot unpack non-iterable NoneType"):
        return scene.statement.value if isinstance(scene.statement, ast.Assign) else None
    if text.startswith("argument of type 'NoneType'"):
        return node.comparators[0] if isinstance(node, ast.Compare) else None
    if text.startswith("'NoneType' object is not iterable") and isinstance(node, ast.expr):
        return _iterated(node, scene)
    if text.endswith("not 'NoneType'") and isinstance(node, ast.Call) and node.args:
        return node.args[0]
    return None


def _iterated(node: ast.expr, scene: Scene) -> ast.expr | None:
    """Return what a loop reads, or what a builtin such as ``sum`` does."""
    if not isinstance(node, ast.Call):
        return node
    function = scene.value_of(node.func)
    if type(function) is FunctionType:
        return node
    if not is_exactly(function, BuiltinFunctionType, type):
        return None
    nones = [one for one in node.args if scene.value_of(one) is None]
    return nones[0] if nones else node.args[0] if len(node.args) == 1 else None


def _none(part: ast.expr, scene: Scene) -> str:
    value = scene.value_of(part)
    if value is not None and value is not MISSING:
        return ""
    call = part.value if isinstance(part, ast.Await) else part
    if isinstance(call, ast.Call):
        return (
            f"{text_of(call.func, 60)}() returned None: keep its value in a variable, "
            "and use it only where it is not None"
        )
    text = text_of(part, 60)
    if text == "None":
        return ""
    if any(isinstance(one, ast.Call) for one in ast.walk(part)):
        return f"{text} is None: keep it in a variable, and use it only where it is not None"
    return f"{text} is None: use it only where `{text} is not None`"


def _text(node: ast.Subscript, whole: str, scene: Scene) -> str:
    value = scene.value_of(node.value)
    rows, source = scene.looped(node.value.id) if isinstance(node.value, ast.Name) else (None, None)
    if type(rows) is dict and source is not None:
        loop = text_of(source, 60)
        return f"a loop over a dict gives its keys: write {loop}.values(), or {loop}.items()"
    if value is MISSING and type(rows) is list and rows:
        value = rows[0]
    if type(value) is str and value[:1] in ("{", "["):
        return f"{whole} is text: parse it first, by json.loads({whole})"
    return f"{whole} is text, not a record"
