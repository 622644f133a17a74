"""Source text of expressions, as advice shows it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from codemode.sandbox.guest.advice.near import cut_name
from codemode.sandbox.guest.advice.scene import with_replaced

__all__ = ["text_of", "with_await"]

_SHOWN_CHARACTERS = 120


def text_of(node: ast.AST, most: int = _SHOWN_CHARACTERS) -> str:
    """Return the source text of an expression on one line, cut where it is long."""
    return cut_name(" ".join(ast.unparse(node).split()), most)


def with_await(place: ast.AST, calls: Sequence[ast.expr]) -> str:
    """Return the text of an expression or statement in which ``calls`` are awaited."""
    changed = with_replaced(place, {id(call): ast.Await(call) for call in calls})
    if changed:
        return changed
    call = calls[0]
    if isinstance(call, ast.Call):
        return f"await {text_of(call.func, 60)}(...)"
    return f"await {text_of(call, 60)}"
