"""The async half: an execution that is carried by the caller's own task and loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc

from codemode.core._dispatch.dispatcher import Dispatcher, ToolCall, ToolOutcome, cancel_once
from codemode.core._dispatch.threads import UNWIND_SECONDS, off_loop
from codemode.core._link.grpc_errors import client_error, inherited_stream, overdue, status_is_lost
from codemode.core._link.request import next_message, result_messages
from codemode.core._link.transcript import Transcript, call_finished
from codemode.core.events import Event, ExecutionCompleted, ToolCallStarted
from codemode.core.hooks import OFF_LOOP_BYTES
from codemode.core.result import ExecutionResult
from codemode.errors import ExecutorClientError, ExecutorProtocolError
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import EOF, unbatched

__all__ = ["AsyncLink", "drive"]

logger = logging.getLogger("codemode.core")

_READ_AHEAD = 8
_STOP_SECONDS = 1.0
_STATUS_SECONDS = 5.0
_CANCEL_SECONDS = 0.01  # gRPC answers a cancelled call from another thread

# Tools that did not end in time; kept so that they are not collected half-way.
_stragglers: set[asyncio.Task[Any]] = set()


class AsyncLink:
    """Be one open stream to one sandbox, carried by tasks of one loop."""

    def __init__(
        self,
        stub: Any,
        *,
        url: str,
        metadata: tuple[tuple[str, str], ...],
        timeout: float | None,
    ) -> None:
        self.url = url
        self.closing = ""  # why the stream is cancelled from this side
        self.inherited = False
        self.overdue = False
        self.batches = False  # the executor takes them
        self.idle = False  # the last run has ended, by the executor's own word
        self.loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._outgoing: deque[pb.ClientMessage] = deque()
        self._unread: deque[pb.ExecutorMessage] = deque()
        self._writer: asyncio.Task[Any] | None = None
        self._inbox: asyncio.Queue[Any] | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self._tasks: dict[ToolCall, asyncio.Task[None]] = {}
        self._unwound_by = 0.0
        self._answers: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[grpc.RpcError] = self.loop.create_future()
        self._call = stub.Execute(metadata=metadata, timeout=timeout)
        self._call.add_done_callback(self._note_end)

    async def send(self, messages: Sequence[pb.ClientMessage]) -> None:
        """Send messages that belong together; nothing when the stream has ended.

        What ended it is told by ``receive``.
        """
        self._outgoing.extend(messages)
        async with self._writing:
            # Whoever is first takes along what others have put there meanwhile.
            while self._outgoing:
                if self.closing or self.inherited or self._call.done():
                    return
                if not await self._write(next_message(self._outgoing, batches=self.batches)):
                    return

    async def _write(self, message: pb.ClientMessage) -> bool:
        """Send one message, and tell whether the stream took it."""
        self._writer = writer = asyncio.current_task()
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False
        except asyncio.CancelledError:
            # Ours by abort(), unless somebody else has cancelled this task as well.
            if not self.closing or writer is None or writer.uncancel():
                raise
            return False
        finally:
            self._writer = None
        return True

    async def receive(self) -> Any:
        """Return the next message, or a tool that has ended. None is the end."""
        if self.inherited:
            raise inherited_stream(self.url)
        while not self._unread:
            item = await (self._call.read() if self._inbox is None else self._inbox.get())
            if item is EOF:
                return None
            if isinstance(item, BaseException):
                raise item
            if not isinstance(item, pb.ExecutorMessage):
                return item
            self._unread.extend(unbatched(item))
        return self._unread.popleft()

    async def failure(
        self, error: grpc.RpcError, result: ExecutionResult | None
    ) -> ExecutorClientError:
        """Return the exception for what ended the stream."""
        if status_is_lost(error):
            await asyncio.wait((self._end,), timeout=_STATUS_SECONDS)
            if self._end.done():
                error = self._end.result()
        return client_error(error, self.url, result)

    def _note_end(self, call: Any) -> None:
        """Keep the status with which the executor ended the stream.

        When a write meets a stream that has ended, gRPC puts its own status
        over that one, or the other way round; it calls this at both.
        """
        code, details, trailing = map(
            _value_at_once, (call.code(), call.details(), call.trailing_metadata())
        )
        error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details, None)
        if not self._end.done() and not status_is_lost(error):
            self._end.set_result(error)

    def start(self, call: ToolCall, dispatcher: Dispatcher, run_id: int) -> None:
        """Run a tool as a task, in the call's own copy of the context."""
        if self._inbox is None:
            # From now on there are two things to wait for.
            self._inbox = asyncio.Queue(_READ_AHEAD)
            self._pump_task = asyncio.create_task(self._pump(self._inbox))
        task = asyncio.create_task(
            self._run(call, dispatcher, run_id, self._inbox), context=call.context
        )
        self._tasks[call] = task
        task.add_done_callback(lambda _: self._tasks.pop(call, None))

    def cancel_call(self, call: ToolCall) -> None:
        """Cancel a tool that nobody waits for any more."""
        if (task := self._tasks.get(call)) is not None:
            cancel_once(task)

    async def end_run(self, dispatcher: Dispatcher) -> None:
        """Cancel the tools that are still running.

        A sync tool cannot be interrupted: it goes on in its thread, and its
        result is dropped.
        """
        dispatcher.cancel_all()
        await self._end_tools()

    async def _end_tools(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            cancel_once(task)
        if tasks:
            # Being cancelled meanwhile begins no second wait, and nobody waits twice for one task.
            self._unwound_by = self._unwound_by or self.loop.time() + UNWIND_SECONDS
            left = max(0.0, self._unwound_by - self.loop.time())
            _, pending = await asyncio.wait(tasks, timeout=left)
            self._tasks, self._unwound_by = {}, 0.0
            for task in pending:
                _stragglers.add(task)
                task.add_done_callback(_stragglers.discard)
            if pending:
                logger.warning("%d tools go on although their run has ended", len(pending))

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give up the stream when the block takes longer."""
        clock = self.loop.call_later(seconds, self._give_up)
        try:
            yield
        finally:
            clock.cancel()

    def _give_up(self) -> None:
        self.overdue, self.closing = True, "no answer in time"
        self._cancel()

    def abort(self, why: str) -> None:
        """Cancel the stream, from any thread; the run ends as ``cancelled``."""
        self.closing = why
        try:
            running = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            running = False
        if running:
            self._cancel()
        else:
            with suppress(RuntimeError):  # the loop is closed, and its streams with it
                self.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._call.cancel()
        if self._writer is not None:
            # gRPC would let it wait for ever where the call's headers are not out yet.
            self._writer.cancel()

    def forget(self) -> None:
        """Leave the stream, in a forked child, to the parent."""
        self.inherited = True

    async def close(self) -> None:
        """End the stream, by which the sandbox dies, and the tasks that serve it."""
        if self.inherited:
            return
        if not self.idle:
            self._call.cancel()
        await self._end_tools()
        await self._read_to_end()
        for answer in self._answers:
            answer.cancel()

    async def _read_to_end(self) -> None:
        """Leave gRPC nothing to tell this loop later.

        What is outstanding when a loop closes keeps its channel alive, and
        fails in the poller, which the process's next loop shares.
        """
        pump = self._pump_task
        if pump is not None and self.idle:
            if not self._call.done():
                try:
                    await self._call.done_writing()
                except (grpc.RpcError, asyncio.InvalidStateError):
                    pass  # the executor was faster
            await asyncio.wait((pump,), timeout=_STOP_SECONDS)
        if self._call.done() and self.idle:
            return
        self._call.cancel()
        if pump is not None:
            pump.cancel()
        if pump is not None or not self.idle:  # else no read is outstanding
            await asyncio.sleep(_CANCEL_SECONDS)

    async def _pump(self, inbox: asyncio.Queue[Any]) -> None:
        try:
            while (message := await self._call.read()) is not EOF:
                await inbox.put(message)
            await inbox.put(EOF)
        except grpc.RpcError as error:
            await inbox.put(error)
        except asyncio.CancelledError as error:
            # The stream was cancelled by abort(), or this task by close().
            if not self.closing:
                raise
            await inbox.put(error)

    async def _run(
        self, call: ToolCall, dispatcher: Dispatcher, run_id: int, inbox: asyncio.Queue[Any]
    ) -> None:
        try:
            outcome = await dispatcher.call_in_async_half(call)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            await inbox.put(error)
            return
        # In a task of its own: cancelling a tool must not reach gRPC's write,
        # which would cancel the whole stream.
        answer = asyncio.create_task(self._answer(call, outcome, run_id, inbox))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def _answer(
        self, call: ToolCall, outcome: ToolOutcome, run_id: int, inbox: asyncio.Queue[Any]
    ) -> None:
        # Before what the code does with it, so that watchers see it in order.
        await inbox.put(_Finished(call, outcome))
        await self.send(result_messages(run_id, call.call_id, outcome))


@dataclass(frozen=True, slots=True)
class _Finished:
    """A tool has ended and the code gets its answer."""

    call: ToolCall
    outcome: ToolOutcome


async def drive(
    link: AsyncLink, transcript: Transcript, run_id: int
) -> AsyncGenerator[Event, None]:
    """Carry one run to its end, telling each event. Raises ExecutorClientError."""
    dispatcher = transcript.dispatcher
    running: dict[int, ToolCall] = {}
    link.idle = False
    try:
        while True:
            item = await link.receive()
            if isinstance(item, _Finished):
                if running.pop(item.call.call_id, None) is item.call:
                    yield call_finished(item.call)
                continue
            if item is None:
                raise ExecutorProtocolError(
                    f"{link.url} ended the stream before the run had ended",
                    result=transcript.partial(),
                )
            match item.WhichOneof("message"):
                case "tool_call":
                    call = await _begin(transcript, item.tool_call)
                    yield ToolCallStarted(
                        call_id=call.call_id, name=call.name, arguments=call.arguments
                    )
                    running[call.call_id] = call
                    link.start(call, dispatcher, run_id)
                case "tool_call_cancelled":
                    if cancelled := running.get(item.tool_call_cancelled.call_id):
                        link.cancel_call(cancelled)
                case "completed":
                    link.idle = True
                    await link.end_run(dispatcher)
                    yield ExecutionCompleted(result=await _complete(transcript, item.completed))
                    return
                case "failed":
                    link.idle = True
                    await link.end_run(dispatcher)
                    yield ExecutionCompleted(result=transcript.fail(item.failed))
                    return
                case _:
                    if (event := transcript.event(item)) is not None:
                        link.batches = transcript.batches
                        yield event
    except grpc.RpcError as error:
        await link.end_run(dispatcher)
        if not link.closing:
            raise await link.failure(error, transcript.partial()) from error
        yield _given_up(link, transcript)
    except asyncio.CancelledError:
        # Cancelling a stream of ours looks the same as being cancelled by others.
        task = asyncio.current_task()
        if not link.closing or (task is not None and task.cancelling()):
            raise
        await link.end_run(dispatcher)
        yield _given_up(link, transcript)
    finally:
        # Also when the caller leaves: a tool that waits for a thread must not run any more.
        if not link.inherited:
            dispatcher.cancel_all()


def _given_up(link: AsyncLink, transcript: Transcript) -> ExecutionCompleted:
    """Return the end of a run whose stream was cancelled here. Raises ExecutorDeadlineError."""
    if link.overdue:
        raise overdue(link.url, transcript.partial())
    return ExecutionCompleted(result=transcript.cancelled(link.closing))


def _value_at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the status of a stream that has ended is known")


async def _begin(transcript: Transcript, message: pb.ToolCall) -> ToolCall:
    arguments = transcript.chunks.whole(message.arguments)
    begin = transcript.dispatcher.begin
    if len(arguments) > OFF_LOOP_BYTES:
        return await off_loop(begin, message.call_id, message.name, arguments)
    return begin(message.call_id, message.name, arguments)


async def _complete(transcript: Transcript, message: pb.Completed) -> Any:
    if len(message.value) > OFF_LOOP_BYTES or transcript.chunks:
        return await off_loop(transcript.complete, message)
    return transcript.complete(message)
