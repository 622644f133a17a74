"""Sentences that the look at the code and the advice on its exceptions share."""

from __future__ import annotations

import ast

from codemode.sandbox.guest.advice.near import cut_name
from codemode.sandbox.guest.advice.scene import with_changed

__all__ = ["not_async", "text_of", "unawaited_call", "with_await"]

_SHOWN_CHARACTERS = 120


def text_of(node: ast.AST, most: int = _SHOWN_CHARACTERS) -> str:
    """Return the source text of an expression on one line, cut where it is long."""
    return cut_name(" ".join(ast.unparse(node).split()), most)


def with_await(place: ast.AST, call: ast.expr) -> str:
    """Return the text of an expression or statement in which ``call`` is awaited."""
    changed = with_changed(place, call, ast.Await(call))
    if changed:
        return changed
    if isinstance(call, ast.Call):
        return f"await {text_of(call.func, 60)}(...)"
    return f"await {text_of(call, 60)}"


def unawaited_call(name: str, place: ast.AST, call: ast.Call) -> str:
    """Return the message for the call of an async function whose value is used un-awaited."""
    return f"{name}() is async: write {with_await(place, call)}"


def not_async(name: str, value: ast.AST) -> str:
    """Return the message for the ``await`` of a call that gives its value at once."""
    return f"{name} is not async: write {text_of(value)} without await"
