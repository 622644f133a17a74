"""The async half: a run that is carried by the caller's own task and loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import grpc

from codemode.core._dispatch.cancelling import cancel_once
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._dispatch.threads import UNWIND_SECONDS, off_loop
from codemode.core._link.driver import Run, Steps
from codemode.core._link.grpc_errors import client_error, inherited_stream
from codemode.core._link.link import Ending, Finished, Link
from codemode.core._link.request import next_message, result_messages
from codemode.core._link.silence import AsyncLeaving, AsyncSearch
from codemode.core._link.stream_status import StreamStatus
from codemode.core.events import Event
from codemode.core.hooks import OFF_LOOP_BYTES, ToolCall, ToolOutcome
from codemode.core.result import ExecutionResult
from codemode.errors import ExecutorClientError
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import EOF, unbatched

__all__ = ["AsyncLink", "carry"]

logger = logging.getLogger("codemode.core")

_READ_AHEAD = 8
_STOP_SECONDS = 1.0
_CANCEL_SECONDS = 0.01  # gRPC answers a cancelled call from another thread

# Tools that did not end in time; kept so that they are not collected half-way.
_stragglers: set[asyncio.Task[Any]] = set()


class AsyncLink(Link):
    """One open stream to one sandbox, carried by tasks of one loop."""

    def __init__(
        self,
        stub: Any,
        *,
        url: str,
        metadata: tuple[tuple[str, str], ...],
        timeout: float | None,
        leaving: AsyncLeaving | None = None,
    ) -> None:
        super().__init__(url)
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._outgoing: deque[pb.ClientMessage] = deque()
        self._writer: asyncio.Task[Any] | None = None
        self._inbox: asyncio.Queue[Any] | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self._tasks: dict[ToolCall, asyncio.Task[None]] = {}
        self._unwound_by = 0.0
        self._answers: set[asyncio.Task[None]] = set()
        self._clock: asyncio.TimerHandle | None = None
        self._aborted: asyncio.Future[None] = self._loop.create_future()
        self._call = stub.Execute(metadata=metadata, timeout=timeout)
        self._status = StreamStatus(self._call)
        self._search: AsyncSearch | None = None  # until something has come
        if leaving is not None:
            self._search = AsyncSearch(self._call, leaving, partial(self._give_up, Ending.SILENT))

    def check_loop(self) -> None:
        """Raise ExecutorClientError in another event loop than the stream's."""
        if self.ending is not Ending.INHERITED and asyncio.get_running_loop() is not self._loop:
            raise ExecutorClientError(
                "the session belongs to the event loop that opened it, and this is another one: "
                "open a session here"
            )

    async def send(self, messages: Sequence[pb.ClientMessage]) -> None:
        """Send messages that belong together; nothing when the stream has ended.

        ``receive()`` reports what ended it.
        """
        self._outgoing.extend(messages)
        async with self._writing:
            # The first task sends what the others have added meanwhile.
            while self._outgoing:
                if self.ending is not None or self._call.done():
                    return
                if not await self._write(next_message(self._outgoing, batches=self.batches)):
                    return

    async def _write(self, message: pb.ClientMessage) -> bool:
        """Send one message; return whether the stream took it."""
        self._writer = writer = asyncio.current_task()
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False
        except asyncio.CancelledError:
            # By _cancel(), unless somebody else has cancelled this task as well.
            if self.ending is None or writer is None or writer.uncancel():
                raise
            return False
        finally:
            self._writer = None
        return True

    async def receive(self) -> Any:
        """Wait for the next item."""
        if self.ending is Ending.INHERITED:
            raise inherited_stream(self.url)
        while not self._unread:
            item = await (self._read() if self._inbox is None else self._inbox.get())
            self._end_search()
            match item:
                case pb.ExecutorMessage():
                    self._unread.extend(unbatched(item))
                case Finished(call):
                    if self._running.pop(call.call_id, None) is call:
                        return item
                case BaseException():
                    raise item
                case _:
                    return None  # EOF
        return self._unread.popleft()

    async def receive_finished(self, deadline: float) -> Finished | None:
        """Wait for the next tool to end."""
        inbox = self._inbox
        while inbox is not None:
            while not inbox.empty():
                item = inbox.get_nowait()
                if isinstance(item, Finished):
                    if self._running.pop(item.call.call_id, None) is item.call:
                        return item
                elif isinstance(item, BaseException) and not isinstance(item, grpc.RpcError):
                    raise item
            # A task that ends leaves its answer as a task.
            at_work = {*self._tasks.values(), *self._answers}
            left = deadline - time.monotonic()
            if not at_work or left <= 0 or self._aborted.done():
                break
            waited = {*at_work, self._aborted}
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        return None

    async def _read(self) -> Any:
        try:
            message = await self._call.read()
            if self.ending is Ending.SILENT:
                raise grpc.RpcError  # it came too late: the run goes elsewhere
            return message
        except asyncio.CancelledError:
            # Cancelling a stream of ours looks the same as being cancelled by others.
            task = asyncio.current_task()
            if self.ending is None or (task is not None and task.cancelling()):
                raise
            raise grpc.RpcError from None  # as in the other half

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.end()
            self._search = None

    async def compute[T](self, size: int, function: Callable[..., T], *args: Any) -> T:
        """Call a function here, or beside the loop when it decodes much."""
        if size > OFF_LOOP_BYTES:
            return await off_loop(function, *args)
        return function(*args)

    async def failure(
        self, error: grpc.RpcError, result: ExecutionResult | None
    ) -> ExecutorClientError:
        return client_error(await self._status.behind(error), self.url, result)

    async def start(self, call: ToolCall, dispatcher: Dispatcher) -> bool:
        """Run a tool as a task, in the call's own copy of the context."""
        inbox = self._shared_inbox()
        self._running[call.call_id] = call
        task = asyncio.create_task(
            self._run(call, dispatcher, self._run_id, inbox), context=call.context
        )
        self._tasks[call] = task
        task.add_done_callback(lambda _: self._tasks.pop(call, None))
        return False

    def _shared_inbox(self) -> asyncio.Queue[Any]:
        """Return the inbox, from which all is received once there are two things to wait for."""
        if self._inbox is None:
            self._inbox = asyncio.Queue(_READ_AHEAD)
            self._pump_task = asyncio.create_task(self._pump(self._inbox))
        return self._inbox

    async def look_up(
        self,
        call_id: int,
        name: str,
        question: bytes,
        dispatcher: Dispatcher,
        call: ToolCall | None = None,
    ) -> None:
        """Answer in a task: a search of the project may wait for the thread for sync code.

        In a recorded run the driver waits, because the recording may end the run.
        """
        if call is not None:
            answered = dispatcher.look_up_in_async_half(name, question, call)
            task_of_call = asyncio.create_task(answered, context=call.context)
            await self.answer(call_id, await task_of_call)
            return
        inbox, run_id = self._shared_inbox(), self._run_id

        async def answer() -> None:
            try:
                outcome = await dispatcher.look_up_in_async_half(name, question)
                await self.send(result_messages(run_id, call_id, outcome))
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                await inbox.put(error)

        task = asyncio.create_task(answer(), context=dispatcher.context_of_lookup(name))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def cancel_call(self, call_id: int) -> None:
        call = self._running.get(call_id)
        if call is not None and (task := self._tasks.get(call)) is not None:
            cancel_once(task)

    async def end_tools(self) -> None:
        """Cancel the tools that still run, and wait for their end.

        A sync tool cannot be interrupted: it goes on in its thread, and its
        result is dropped.
        """
        tasks = list(self._tasks.values())
        for task in tasks:
            cancel_once(task)
        if tasks:
            # Being cancelled meanwhile begins no second wait, and nobody waits twice for one task.
            self._unwound_by = self._unwound_by or self._loop.time() + UNWIND_SECONDS
            left = max(0.0, self._unwound_by - self._loop.time())
            _, pending = await asyncio.wait(tasks, timeout=left)
            self._tasks, self._unwound_by = {}, 0.0
            for task in pending:
                _stragglers.add(task)
                task.add_done_callback(_stragglers.discard)
            if pending:
                logger.warning("%d tools go on although their run has ended", len(pending))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def start_clock(self, seconds: float) -> None:
        self._clock = self._loop.call_later(seconds, self._give_up, Ending.OVERDUE)

    def stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()

    def _cancel(self) -> None:
        try:
            running = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            running = False
        if running:
            self._cancel_here()
        else:
            with suppress(RuntimeError):  # the loop is closed, and its streams with it
                self._loop.call_soon_threadsafe(self._cancel_here)

    def _cancel_here(self) -> None:
        self._call.cancel()
        if self.ending is Ending.ABORTED and not self._aborted.done():
            self._aborted.set_result(None)
        if self._writer is not None:
            # gRPC would let it wait for ever where the call's headers are not out yet.
            self._writer.cancel()

    async def close(self) -> None:
        if self.ending is Ending.INHERITED:
            return
        self._end_search()
        if not self.idle:
            self._call.cancel()
        await self.end_tools()
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
            self._outgoing.clear()  # answers that nobody waits for
            unread = asyncio.create_task(_discard(self._inbox))
            try:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._end_writing(pump), _STOP_SECONDS)
            finally:
                unread.cancel()
        if self._call.done() and self.idle:
            return
        self._call.cancel()
        if pump is not None:
            pump.cancel()
        if pump is not None or not self.idle:  # else no read is outstanding
            await asyncio.sleep(_CANCEL_SECONDS)

    async def _end_writing(self, pump: asyncio.Task[None]) -> None:
        async with self._writing:  # gRPC does one write at a time
            if not self._call.done():
                with suppress(grpc.RpcError, asyncio.InvalidStateError):  # the executor was faster
                    await self._call.done_writing()
        await asyncio.wait((pump,))

    async def _pump(self, inbox: asyncio.Queue[Any]) -> None:
        try:
            while (message := await self._call.read()) is not EOF:
                await inbox.put(message)
            await inbox.put(EOF)
        except grpc.RpcError as error:
            await inbox.put(error)
        except asyncio.CancelledError:
            # The stream was cancelled by _cancel(), or this task by close().
            if self.ending is None:
                raise
            await inbox.put(grpc.RpcError())

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
        await inbox.put(Finished(call, outcome))
        await self.send(result_messages(run_id, call.call_id, outcome))


async def _discard(inbox: asyncio.Queue[Any] | None) -> None:
    """Take all that comes, so that nobody waits for room."""
    while inbox is not None:
        await inbox.get()


async def carry(
    begin: Callable[[], Awaitable[Run]], course: Callable[[Run], Steps]
) -> AsyncGenerator[Event, None]:
    """Carry a run in the caller's task, and yield its events. Raises ExecutorClientError."""
    run = await begin()
    with run.turn:
        async with run.observation:
            steps = course(run)
            failures: list[BaseException] = []
            while True:
                try:
                    step = steps.throw(failures.pop()) if failures else next(steps)
                    while True:
                        step = steps.send(await step() if callable(step) else (yield step))
                except StopIteration:
                    return
                except BaseException as error:
                    if inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED:
                        raise
                    failures.append(error)
