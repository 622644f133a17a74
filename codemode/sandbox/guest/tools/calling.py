"""Tool calls as the code makes them: arguments in, value or exception out."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Protocol, cast

from codemode.errors.base import ValueEncodingError
from codemode.sandbox.guest.code.wording import (
    given_twice,
    too_many_by_position,
    wrong_arguments,
)
from codemode.sandbox.guest.coding import dump, load
from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.output import Output
from codemode.sandbox.guest.pending_calls import LOST, NO_MEMORY, Outcome
from codemode.sandbox.guest.scope import RunScope
from codemode.sandbox.guest.tools.awaiting import PlainValues
from codemode.sandbox.guest.tools.tool_errors import InvalidArgumentsError, ToolError, failure_of
from codemode.sandbox.guest.tools.unfinished_calls import UnfinishedCalls
from codemode.wire.frames import Frame, FrameError, pack_texts, unpack_texts

__all__ = ["Caller", "ToolSpec", "is_of_tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the host announced it.

    ``positional`` names the parameters that may be given by position, in order.
    The host refuses every call of a ``hidden`` tool. ``help`` shows the
    ``notes`` on arguments, the ``records`` that it takes and returns, and its
    ``marks``, such as the permission that it needs.
    """

    name: str
    signature: str
    positional: Sequence[str] = ()
    description: str = ""
    asynchronous: bool = False
    hidden: bool = False
    notes: Sequence[str] = ()
    records: Sequence[str] = ()
    marks: Sequence[str] = ()


class CallMaker(Protocol):
    """What makes calls: the frame socket, or the calls of a recorded run."""

    def call(self, run: int, name: bytes, arguments: bytes) -> Outcome:
        """Make a call, wait in this thread for its answer and return it."""

    async def call_async(self, run: int, name: bytes, arguments: bytes) -> Outcome:
        """Make a call, await its answer and return it."""


class Caller:
    """A maker of tool calls, usable from any thread and any event loop."""

    def __init__(self, frames: FrameSocket, output: Output, scope: RunScope) -> None:
        self._frames: CallMaker = frames
        self._output = output
        self._scope = scope
        self._max_bytes = 0
        self.unfinished = UnfinishedCalls(tools_code=Caller._call_async.__code__)
        self.values = PlainValues()

    def make_calls_by(self, calls: CallMaker) -> None:
        """Make calls by this object from now on, instead of the frame socket."""
        self._frames = calls

    def set_max_bytes(self, max_bytes: int) -> None:
        """Limit the encoded arguments of each call to so many bytes."""
        self._max_bytes = max_bytes

    def call(self, spec: ToolSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the tool, wait in this thread and return its value. Raises ToolError."""
        run, name, arguments = self._prepare(spec, args, kwargs)
        number = self.unfinished.begin(spec.name)
        try:
            value = self._value(spec, self._frames.call(run, name, arguments))
        finally:
            self.unfinished.end(number)
        return self.values.returned(value)

    def call_async(
        self, spec: ToolSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> CoroutineType[Any, Any, Any]:
        """Return the coroutine that calls the tool and returns its value. It raises ToolError."""
        number = self.unfinished.make(spec.name)
        coroutine: Any = self._call_async(number, spec, args, kwargs)
        coroutine.__name__ = coroutine.__qualname__ = spec.name
        self.unfinished.note_made(number, coroutine)
        return cast("CoroutineType[Any, Any, Any]", coroutine)

    async def _call_async(
        self, number: int, spec: ToolSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self.unfinished.begin(spec.name, number)
        try:
            run, name, arguments = self._prepare(spec, args, kwargs)
            return self._value(spec, await self._frames.call_async(run, name, arguments))
        except ToolError as error:
            # The traceback of a failure starts here: the code cannot fix the frames below.
            raise error.with_traceback(None) from None
        except CancelledError:
            self.unfinished.note_cancelled(spec.name)
            raise
        finally:
            self.unfinished.end(number)

    def _prepare(
        self, spec: ToolSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[int, bytes, bytes]:
        run = self._scope.of_caller()
        if not run:
            raise ToolError(
                f"{spec.name}() was called by a task, thread or callback of an earlier run, "
                "which can call tools only during the run that started it",
                tool=spec.name,
                kind="cancelled",
            )
        if args:
            kwargs = _by_name(spec, args, kwargs)
        arguments = self._encode(spec, kwargs)
        # Text printed before the call must arrive before the call.
        self._output.flush()
        return run, pack_texts(spec.name), arguments

    def _encode(self, spec: ToolSpec, arguments: dict[str, Any]) -> bytes:
        try:
            return dump(arguments, max_bytes=self._max_bytes, path=spec.name)
        except ValueEncodingError as error:
            problem = error
        # Encoded again one by one, for an error path that reads like the call.
        for name, value in arguments.items():
            try:
                dump(value, max_bytes=self._max_bytes, path=f"{spec.name}({name}=...)")
            except ValueEncodingError as error:
                problem = error
                break
        raise InvalidArgumentsError(
            str(problem), tool=spec.name, kind="invalid_arguments"
        ) from None

    def _value(self, spec: ToolSpec, outcome: Outcome) -> Any:
        kind, body = outcome
        if kind == Frame.TOOL_VALUE:
            return load(body)
        if kind == NO_MEMORY:
            raise MemoryError(f"the value of {spec.name}() does not fit into the memory limit")
        if kind == LOST:
            raise ToolError(
                f"{spec.name}() was still unanswered when its run ended",
                tool=spec.name,
                kind="cancelled",
            )
        try:
            (failure, type_name, message), _ = unpack_texts(body, 3)
        except FrameError as error:
            raise ToolError(f"{spec.name}(): broken answer: {error}", tool=spec.name) from None
        raise failure_of(spec.name, spec.signature, failure, type_name, message)


def is_of_tool(coroutine: CoroutineType[Any, Any, Any]) -> bool:
    """Return whether a coroutine is that of a tool's call."""
    return coroutine.cr_code is Caller._call_async.__code__


def _by_name(spec: ToolSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return all arguments by name, bound as a function of this signature would bind them."""
    names = spec.positional
    if len(args) > len(names):
        raise _wrong(spec, too_many_by_position(spec.name, len(names), len(args)))
    arguments = dict(zip(names, args, strict=False))
    for name in arguments.keys() & kwargs.keys():
        raise _wrong(spec, given_twice(spec.name, name))
    return arguments | kwargs


def _wrong(spec: ToolSpec, problem: str) -> InvalidArgumentsError:
    return InvalidArgumentsError(
        wrong_arguments([problem], spec.signature), tool=spec.name, kind="invalid_arguments"
    )
