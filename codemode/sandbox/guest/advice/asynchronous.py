"""Advice on await: calls without it, values that need none, and event loops."""

from __future__ import annotations

import ast
import re
from itertools import islice
from types import CoroutineType, FunctionType

from codemode.sandbox.guest.advice.near import cut_name
from codemode.sandbox.guest.advice.scene import MISSING, Scene, with_changed
from codemode.sandbox.guest.advice.source_text import text_of, with_await
from codemode.sandbox.guest.advice.texts import said
from codemode.sandbox.guest.code.wording import not_async, not_awaited
from codemode.sandbox.guest.tools.toolbox import Tools

__all__ = ["attribute", "loop", "not_awaitable", "not_coroutine", "unawaited"]

_AWAITABLES = re.compile(r"\b(coroutine|_GatheringFuture|_asyncio\.(?:Task|Future))\b")
_NOT_AWAITABLE = re.compile(
    r"object .{1,80} can't be used in 'await' expression$|'.{1,80}' object can't be awaited$"
)
_OF_ASYNCIO = ("create_task", "ensure_future", "gather", "shield", "wait", "wait_for")
_COROUTINE_EXPECTED = (
    "a coroutine was expected",
    "An asyncio.Future, a coroutine or an awaitable is required",
    "a coroutine object is required",
)
_SIMPLE = (ast.expr, ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)
_NODES = 500


def unawaited(error: TypeError, scene: Scene, tools: Tools) -> str:
    """Return advice on a coroutine that was used as if it were a value."""
    text = said(error)
    if scene.function == "gather" and "unhashable type: 'list'" in text:
        return "asyncio.gather takes the calls one by one: write await asyncio.gather(*calls)"
    if text.startswith(_COROUTINE_EXPECTED):
        return ""
    if not _AWAITABLES.search(text) or _NOT_AWAITABLE.search(text):
        return ""
    advice = _unawaited(scene)
    if not advice and scene.direct:
        return "a call of an async function was not awaited: write await before it"
    return advice


def attribute(error: AttributeError, scene: Scene, tools: Tools) -> str:
    """Return advice on an attribute of a coroutine."""
    if type(error.obj) is CoroutineType:
        return _unawaited(scene, record=error.name)
    return ""


def not_awaitable(error: TypeError, scene: Scene, tools: Tools) -> str:
    """Return advice on the ``await`` of a plain value."""
    if not _NOT_AWAITABLE.search(said(error)):
        return ""
    node = scene.node
    if isinstance(node, ast.Await):
        node = node.value
    if isinstance(node, ast.Call):
        return not_async(text_of(node.func, 60), text_of(node))
    if node is None:
        return "this value is not async: write it without await"
    return f"{text_of(node, 60)} is a value that is there already: write it without await"


def not_coroutine(error: Exception, scene: Scene, tools: Tools) -> str:
    """Return advice on what was given to asyncio in place of a call of an async function."""
    text = said(error)
    if not text.startswith(_COROUTINE_EXPECTED) or not isinstance(scene.node, ast.Call):
        return ""
    for node in islice(ast.walk(scene.node), 1, _NODES):
        if isinstance(node, ast.Name | ast.Attribute) and scene.is_async(scene.value_of(node)):
            if _is_called(scene.node, node):
                continue
            called = with_changed(scene.node, node, ast.Call(node, [], []))
            return f"{text_of(node, 60)} is a function: call it, as in {called}" if called else ""
        if isinstance(node, ast.Call):
            function = scene.value_of(node.func)
            if type(function) is FunctionType and not scene.is_async(function):
                name, place = text_of(node.func, 60), text_of(scene.node.func, 60)
                return f"{name} is not async: call it by itself, outside of {place}"
    return ""


def loop(error: RuntimeError, scene: Scene, tools: Tools) -> str:
    """Return advice on event loops, which the code never has to start beside ``await``."""
    text = said(error)
    if text == "cannot reuse already awaited coroutine":
        return "a call can be awaited once: keep its value in a variable and use that"
    if "cannot be called from a running event loop" in text or "loop is already running" in text:
        node = scene.node
        inner = node.args[0] if isinstance(node, ast.Call) and node.args else None
        call = text_of(inner) if isinstance(inner, ast.Call | ast.Name) else "main()"
        return f"an event loop is running already: write await {call}"
    if text.startswith("There is no current event loop") and (advice := _without_loop(scene)):
        return advice
    if text.startswith(("no running event loop", "There is no current event loop")):
        return "write await outside functions, or start the loop by asyncio.run(main())"
    return ""


def _without_loop(scene: Scene) -> str:
    """Return advice on ``asyncio.gather`` and the like, which from Python 3.14 on need a loop."""
    node = scene.node
    if not isinstance(node, ast.Call) or not (name := _async_name(node, scene)):
        return ""
    place = scene.statement if isinstance(scene.statement, _SIMPLE) else node
    whole = ast.dump(node)
    same = [one for one in ast.walk(place) if isinstance(one, ast.Call) and ast.dump(one) == whole]
    return not_awaited(name, with_await(place, same or [node]), inside=_inside(scene))


def _unawaited(scene: Scene, record: str | None = None) -> str:
    place = scene.node
    found = _culprits(place, scene)
    if not found:
        place = scene.statement
        found = _culprits(place, scene)
    if not found or place is None:
        return ""
    name, node = found[0]
    inside = _inside(scene)
    if isinstance(node, ast.Name):
        return (
            f"{node.id} is the un-awaited call of {name}(), which is async: "
            f"write {node.id} = await {name}(...){inside}"
        )
    if record is not None and isinstance(place, ast.Attribute) and place.value is node:
        # What an async tool gives is most often a record.
        changed = with_changed(place, place, _item_of(ast.Await(node), record))
        if changed and scene.tool_of(scene.value_of(node.func)) is not None:
            return f"{name}() is async and records are dicts: write {changed}{inside}"
    loop = scene.statement
    if (
        place is node
        and isinstance(loop, ast.For | ast.AsyncFor)
        and ast.dump(loop.iter) == ast.dump(node)
    ):
        repair = f"for {text_of(loop.target, 40)} in {with_await(node, [node])}"
    else:
        repair = with_await(place, [one for _, one in found if isinstance(one, ast.Call)])
    return not_awaited(name, repair, inside=inside)


def _inside(scene: Scene) -> str:
    """Return what to do with the function around a call that cannot await."""
    if scene.awaits:
        return ""
    function = scene.frame.f_code.co_name
    if function.isidentifier():
        return f", make {cut_name(function)} an async def, and await its calls"
    return f"; a {function.strip('<>')} cannot await: use a loop or an async def"


def _is_called(place: ast.AST, function: ast.AST) -> bool:
    calls = (node for node in ast.walk(place) if isinstance(node, ast.Call))
    return any(node.func is function for node in calls)


def _item_of(value: ast.expr, key: str) -> ast.expr:
    return ast.Subscript(value, ast.Constant(key), ast.Load())


def _culprits(place: ast.AST | None, scene: Scene) -> list[tuple[str, ast.Call | ast.Name]]:
    """Return the un-awaited calls in an expression and the variables that hold one, by name.

    The outermost of several calls is the one that is used un-awaited.
    """
    found: list[tuple[str, ast.Call | ast.Name]] = []
    waiting: list[ast.AST] = [] if place is None else [place]
    for _ in range(_NODES):
        if not waiting:
            break
        node = waiting.pop(0)
        if isinstance(node, ast.Await):
            continue
        if isinstance(node, ast.Call) and (name := _async_name(node, scene)):
            found.append((name, node))
        elif isinstance(node, ast.Name):
            value = scene.value_of(node)
            if type(value) is CoroutineType:
                name = value.__qualname__
                found.append((cut_name(name) if type(name) is str else "?", node))
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def _async_name(call: ast.Call, scene: Scene) -> str:
    """Return the name of the async function that a call calls, or ""."""
    function = call.func
    value = scene.value_of(function)
    if scene.is_async(value):
        return text_of(function, 60)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        of_asyncio = function.value.id == "asyncio" and value is not MISSING
        if of_asyncio and function.attr in _OF_ASYNCIO:
            return f"asyncio.{function.attr}"
    return ""
