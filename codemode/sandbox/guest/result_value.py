"""Encoding of the value of a run."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CoroutineType, FunctionType
from typing import Any

from codemode.errors.base import ValueEncodingError
from codemode.sandbox.guest.code.wording import not_awaited
from codemode.sandbox.guest.coding import dump
from codemode.sandbox.guest.failure import ResultError
from codemode.sandbox.guest.tools.calling import is_of_tool

__all__ = ["encode_result", "result_too_large"]

UNBOUNDED = 2**40


def encode_result(value: Any, max_bytes: int) -> bytes:
    """Return the encoded value. Raises ResultError, whose message says what to write instead."""
    _refuse_awaitable(value, "the result")
    try:
        return dump(value, max_bytes=max_bytes, path="result")
    except ValueEncodingError as error:
        if type(value) is FunctionType and value.__name__ != "<lambda>":
            raise ResultError("ResultNotSerialisable", _uncalled(value)) from None
        for step, one in _members(value):
            _refuse_awaitable(one, f"result[{step!r}]")
        raise _problem(value, error, max_bytes) from None


def _problem(value: Any, error: ValueEncodingError, max_bytes: int) -> ResultError:
    try:
        dump(value, max_bytes=UNBOUNDED, path="result")
    except ValueEncodingError:
        return ResultError("ResultNotSerialisable", str(error))
    return result_too_large(max_bytes)


def result_too_large(max_bytes: int) -> ResultError:
    """Return the error for a result that is larger than its limit."""
    return ResultError(
        "ResultLimit",
        f"the result is larger than {max_bytes} bytes: return less of it, "
        "such as a count, a summary or the first rows",
    )


def _uncalled(function: FunctionType) -> str:
    tool = function.__module__ == "tools"
    name = function.__qualname__ if tool else function.__name__
    arguments = "..." if tool or function.__code__.co_argcount else ""
    kept = "await " * inspect.iscoroutinefunction(function)
    return f"the result is the function {name}: call it, as in {kept}{name}({arguments})"


def _refuse_awaitable(value: Any, where: str) -> None:
    if not inspect.isawaitable(value):
        return
    kind = "coroutine" if isinstance(value, CoroutineType) else type(value).__name__
    fix = "await it" if where == "the result" else "await each, or all by asyncio.gather(*...)"
    if isinstance(value, CoroutineType):
        name = value.__qualname__
        if where == "the result":
            fix = not_awaited(name, f"await {name}(...)")
        if not is_of_tool(value):
            value.close()  # else a later run of a session might be told of it
    raise ResultError("ResultNotAwaited", f"{where} is a {kind} that was never awaited; {fix}")


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the keys or indexes and the values directly in a list, tuple, set or dict."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple | set):
        yield from enumerate(value)
