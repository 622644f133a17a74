"""Advice on numbers, dates and JSON: conversions that Python leaves to the code."""

from __future__ import annotations

import ast
import re
from decimal import InvalidOperation
from json import JSONDecodeError
from typing import Final

from codemode.sandbox.guest.advice.near import cut_name
from codemode.sandbox.guest.advice.scene import Scene, with_changed
from codemode.sandbox.guest.advice.source_text import text_of
from codemode.sandbox.guest.advice.texts import said
from codemode.sandbox.guest.tools.toolbox import Tools

__all__ = ["library", "types", "values"]

_OPERANDS = re.compile(r"unsupported operand type\(s\) for (\S+): '([\w.]+)' and '([\w.]+)'$")
_NOT_JSON = re.compile(r"Object of type (\w+) is not JSON serializable$")
_NO_NUMBER = re.compile(
    r"(?:invalid literal for int\(\) with base 10|could not convert string to float): '(.*)'$",
    re.DOTALL,
)
_AS_TEXT: Final = frozenset({"Decimal", "UUID", "date", "datetime", "time", "timedelta"})
_AS_LIST: Final = frozenset(
    {
        "set",
        "frozenset",
        "dict_keys",
        "dict_values",
    }
)
_CHARACTERS = 1_000


def types(error: TypeError, scene: Scene, tools: Tools) -> str:
    """Return advice on operands and arguments of the wrong type."""
    text, node = said(error), scene.node
    if match := _OPERANDS.match(text):
        return _operands(match[2], match[3], node)
    if match := _NOT_JSON.match(text):
        return _json(match[1], node)
    if text.startswith("keys must be str, int, float, bool or None, not "):
        return "JSON has text as keys: write {str(k): v for k, v in x.items()} for a dict x"
    if text.startswith("the JSON object must be str, bytes or bytearray, not "):
        return f"the value is a {text.rpartition(' ')[2]} already: use it without json.loads"
    if text.startswith('can only concatenate str (not "'):
        return _joined(text.partition('"')[2].partition('"')[0], node)
    if text.startswith(("can't compare offset-", "can't subtract offset-")):
        return _zones(node)
    if text.startswith("can't compare datetime.datetime to datetime.date"):
        return "a datetime and a date do not compare: write .date() after the datetime"
    return ""


def values(error: ValueError, scene: Scene, tools: Tools) -> str:
    """Return advice on a text that is not a number."""
    match = _NO_NUMBER.match(said(error))
    node = scene.node
    if match is None or not isinstance(node, ast.Call) or not node.args:
        return ""
    return _number(match[1], node) if text_of(node.func, 60) in ("int", "float") else ""


def library(error: BaseException, scene: Scene, tools: Tools) -> str:
    """Return advice on the exceptions of decimal and json."""
    node = scene.node
    if (
        type(error) is InvalidOperation
        and isinstance(node, ast.Call)
        and len(node.args) == 1
        and text_of(node.func, 60).endswith("Decimal")
        and type(value := scene.value_of(node.args[0])) is str
    ):
        return _number(value[:_CHARACTERS], node)
    if type(error) is JSONDecodeError:
        document = error.doc
        if type(document) is str and document[error.pos : error.pos + 1] == "'":
            return "the text is Python, not JSON: ast.literal_eval reads it"
        if type(document) is str and not document.strip():
            return "the text is empty"
    return ""


def _operands(left: str, right: str, node: ast.AST | None) -> str:
    kinds = {left, right}
    if kinds == {"decimal.Decimal", "float"}:
        return _decimal(left == "float", node)
    if "NoneType" in kinds:
        return "one of the values is None: leave it out, or write (x or 0) for it"
    if "str" in kinds and kinds & {"int", "float", "decimal.Decimal"}:
        number = (kinds - {"str"}).pop().rpartition(".")[2]
        return (
            f"one of the values is text: write {number}(...) for it to calculate, str(...) to join"
        )
    if kinds == {"str", "datetime.timedelta"}:
        return "one of the values is text: write datetime.fromisoformat(...) for it"
    return ""


def _decimal(left_is_float: bool, node: ast.AST | None) -> str:
    parts = _sides(node)
    if parts is None or node is None:
        return "Decimal and float do not mix: write Decimal('1.2') for a float"
    part = parts[0] if left_is_float else parts[1]
    if isinstance(node, ast.AugAssign) and part is node.target:
        return f"{text_of(part, 60)} is a float: let it begin as a Decimal, such as Decimal('0')"
    literal = isinstance(part, ast.Constant)
    inner: ast.expr = (
        ast.Constant(text_of(part, 60)) if literal else ast.Call(ast.Name("str"), [part], [])
    )
    changed = with_changed(node, part, ast.Call(ast.Name("Decimal"), [inner], []))
    return f"Decimal and float do not mix: write {changed}" if changed else ""


def _sides(node: ast.AST | None) -> tuple[ast.expr, ast.expr] | None:
    if isinstance(node, ast.BinOp):
        return node.left, node.right
    if isinstance(node, ast.AugAssign):
        return node.target, node.value
    return None


def _json(kind: str, node: ast.AST | None) -> str:
    convert = "str" if kind in _AS_TEXT else "list" if kind in _AS_LIST else ""
    if not convert:
        return ""
    if isinstance(node, ast.Call) and not any(one.arg == "default" for one in node.keywords):
        default = ast.keyword("default", ast.Name(convert))
        changed = with_changed(
            node, node, ast.Call(node.func, node.args, [*node.keywords, default])
        )
        if changed:
            return f"write {changed}; the value of the run itself needs no JSON"
    return f"write json.dumps(..., default={convert}); the value of the run itself needs no JSON"


def _joined(kind: str, node: ast.AST | None) -> str:
    parts = _sides(node)
    if parts is not None and node is not None:
        part = parts[1]
        changed = with_changed(node, part, ast.Call(ast.Name("str"), [part], []))
        if changed:
            return f"write {changed}, or an f-string"
    return f"write str(...) for the {kind}, or an f-string"


def _zones(node: ast.AST | None) -> str:
    for one in ast.walk(node) if node is not None else ():
        if isinstance(one, ast.Call) and not one.args and not one.keywords:
            called = text_of(one.func, 60)
            if called.endswith(("datetime.now", "datetime.utcnow")):
                part = called.rpartition(".")[0]
                return f"one has a time zone, the other none: write {part}.now(timezone.utc)"
    return "one has a time zone, the other none: write .replace(tzinfo=timezone.utc) after it"


def _number(text: str, node: ast.Call) -> str:
    argument, function = node.args[0], text_of(node.func, 60)
    shown = text_of(argument, 60)
    stripped = text.strip()
    if not stripped:
        return "the text is empty: leave it out, or give a number for it"
    if re.fullmatch(r"[-+]?\d+\.\d+", stripped) and function == "int":
        return f"{shown} has decimals: write int(float({shown})), or Decimal({shown})"
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", stripped):
        return f"it has commas: write {function}({shown}.replace(',', ''))"
    if re.fullmatch(r"[$€£]\s?[-+]?[\d,]+(\.\d+)?", stripped):
        bare = f"{shown}.lstrip('{stripped[0]}').replace(',', '')"
        return f"it has a currency sign: write {function}({bare})"
    if re.fullmatch(r"[-+]?\d+(\.\d+)?\s?%", stripped):
        return f"it has a percent sign: write {function}({shown}.rstrip('% ')) / 100"
    return f"{cut_name(repr(stripped))} is not a number"
