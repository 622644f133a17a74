"""The sync half: a run that is carried by the caller's own thread.

Sync tools run in the thread that called; another thread reads what comes on the
stream. The first async tool starts a loop for this run, in a thread of its own.
"""

from __future__ import annotations

import contextvars
import inspect
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import grpc

from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._grpc.apart import begin_apart, take
from codemode.core._link.driver import Run, Steps
from codemode.core._link.grpc_errors import client_error, inherited_stream
from codemode.core._link.link import Ending, Finished, Link
from codemode.core._link.request import next_message
from codemode.core._link.silence import SILENCE_SECONDS, Silence, SyncLeaving, look_elsewhere
from codemode.core._link.tool_loop import ToolLoop, Work
from codemode.core.event_stream import PAUSE
from codemode.core.events import Event
from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.core.result import ExecutionResult
from codemode.errors import ExecutorClientError
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import unbatched

__all__ = ["SyncLink", "carry"]

type _Outgoing = SimpleQueue[tuple[Sequence[pb.ClientMessage], bool] | None]
"""Messages that belong together and whether they may go as a batch; None at the end."""

_READ_AHEAD = 8


class SyncLink(Link):
    """One open stream to one sandbox, for one thread at a time.

    An exception of a signal handler may come between any two steps of the
    caller's thread. Within gRPC it would leave a lock held for ever, so that
    thread only uses queues, whose steps are whole; others call gRPC for it.
    """

    _tools: ToolLoop | None = None
    _answered = False  # a message has come

    def __init__(
        self,
        stub: Any,
        messages: Sequence[pb.ClientMessage],
        *,
        url: str,
        metadata: tuple[tuple[str, str], ...],
        timeout: float | None,
        wait: Callable[[], None],
        leaving: SyncLeaving | None = None,
    ) -> None:
        super().__init__(url)
        self._inbox: SimpleQueue[Any] = SimpleQueue()  # all that the caller's thread has to do
        self._outgoing: _Outgoing = SimpleQueue()
        self.send(messages)
        self._room: SimpleQueue[bool] = SimpleQueue()
        for _ in range(_READ_AHEAD):
            self._room.put(True)
        self._clock: SimpleQueue[None] = SimpleQueue()
        self._closed = False
        # In the caller's context, to which instrumentation of gRPC looks for its spans.
        in_context = contextvars.copy_context().run
        execute = partial(stub.Execute, metadata=metadata, timeout=timeout)
        left: list[bool] = []

        def open_stream(requests: Iterator[pb.ClientMessage]) -> Any:
            wait()
            return None if left else execute(requests)

        read = partial(in_context, _read, open_stream, self._outgoing, self._inbox, self._room)
        try:
            begin_apart(read)
            self._call, refusal = take(self._inbox)
        except BaseException:
            left.append(True)
            self._outgoing.put(None)
            raise
        if refusal is not None:
            raise refusal
        self._leaving = leaving  # None once something has come, or another executor is looked for
        self._silent_at = time.monotonic() + SILENCE_SECONDS

    def send(self, messages: Sequence[pb.ClientMessage]) -> None:
        """Queue messages that belong together. Safe from any thread."""
        self._outgoing.put((messages, self.batches))

    def receive(self) -> Any:
        """Wait for the next item, and run meanwhile what tools want of this thread."""
        if self.ending is Ending.INHERITED:
            raise inherited_stream(self.url)
        while not self._unread:
            within = self.pause_seconds
            if self._leaving is not None:
                within = min(within, max(0.0, self._silent_at - time.monotonic()))
            try:
                item = take(self._inbox, within=within)
            except Empty:
                if self._leaving is not None and time.monotonic() >= self._silent_at:
                    begin_apart(partial(look_elsewhere, self._call, self._leaving, self._inbox))
                    self._leaving = None
                    continue
                return PAUSE
            match item:
                case pb.ExecutorMessage():
                    self._leaving, self._answered = None, True
                    self._room.put(True)
                    self._unread.extend(unbatched(item))
                case Silence():
                    if not self._answered and self.ending is None:
                        self.ending = Ending.SILENT
                        raise grpc.RpcError
                case Work():
                    item.run()
                case Finished(call, outcome):
                    if self._running.pop(call.call_id, None) is call:
                        self.answer(call.call_id, outcome)
                        return item
                case BaseException():
                    raise item
                case _:
                    return None
        return self._unread.popleft()

    def receive_finished(self, deadline: float) -> Finished | None:
        """Wait for the next tool to end, and run meanwhile what tools want of this thread."""
        while self._running:
            try:
                item = take(self._inbox, within=max(0.0, deadline - time.monotonic()))
            except Empty:
                return None
            match item:
                case Work():
                    item.run()
                case Finished(call):
                    if self._running.pop(call.call_id, None) is call:
                        return item
                case grpc.RpcError():
                    if self.ending is Ending.ABORTED:
                        return None
                case BaseException():
                    raise item
        return None

    def compute[T](self, size: int, function: Callable[..., T], *args: Any) -> T:
        """Call a function here: this thread is the caller's own."""
        return function(*args)

    def start(self, call: ToolCall, dispatcher: Dispatcher) -> bool:
        """Run a tool: an async one on the loop, a sync one in this thread or in the pool."""
        if call.failure is None and call.asynchronous:
            self._running[call.call_id] = call
            if self._tools is None:
                self._tools = ToolLoop(self._inbox)
            self._tools.start(call, dispatcher)
            return False
        if call.failure is None and not call.thread_sensitive:
            self._running[call.call_id] = call
            _report(self._inbox, call, dispatcher.run_in_pool(call))
            return False
        self.answer(call.call_id, dispatcher.call_sync(call))
        return True

    def look_up(
        self,
        call_id: int,
        name: str,
        question: bytes,
        dispatcher: Dispatcher,
        call: ToolCall | None = None,
    ) -> None:
        """Answer in this thread: it is the caller's own."""
        self.answer(call_id, dispatcher.look_up(name, question, call))

    def cancel_call(self, call_id: int) -> None:
        call = self._running.pop(call_id, None)
        if call is not None and self._tools is not None:
            self._tools.cancel(call)

    def end_tools(self) -> None:
        """Cancel the async tools that still run, and wait for their end."""
        if self._tools is not None:
            self._tools.cancel_all()

    def failure(self, error: grpc.RpcError, result: ExecutionResult | None) -> ExecutorClientError:
        return client_error(error, self.url, result)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def start_clock(self, seconds: float) -> None:
        self._clock = stopped = SimpleQueue[None]()

        def clock() -> None:
            try:
                stopped.get(timeout=seconds)
            except Empty:
                self._give_up(Ending.OVERDUE)

        begin_apart(clock)

    def stop_clock(self) -> None:
        self._clock.put(None)

    def close(self) -> None:
        if self._closed or self.ending is Ending.INHERITED:
            return
        self._outgoing.put(None)
        self._closed = True
        self._room.put(False)
        if not self.idle:
            self._cancel()
        if self._tools is not None:
            self._tools.stop()

    def _cancel(self) -> None:
        begin_apart(self._call.cancel)
        if self.ending is Ending.ABORTED:
            self._inbox.put(grpc.RpcError())  # wakes a driver that waits for tools

    def __del__(self) -> None:
        # An interrupt may have kept close(), or __init__(), from any of their steps.
        if hasattr(self, "_room"):
            self._outgoing.put(None)
            self._room.put(False)
        if self._tools is not None:
            self._tools.abandon()


def _read(
    execute: Callable[[Iterator[pb.ClientMessage]], Any],
    outgoing: _Outgoing,
    inbox: SimpleQueue[Any],
    room: SimpleQueue[bool],
) -> None:
    """Open the stream, and put it and all that comes on it into the inbox."""
    opened: SimpleQueue[Any] = SimpleQueue()
    try:
        call = execute(_requests(outgoing, opened))
    except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
        inbox.put((None, error))
        return
    if call is None:
        return  # the caller has left before
    opened.put(call)
    inbox.put((call, None))
    try:
        for message in call:
            # A slow reader of the events holds back the sandbox, not memory.
            if not room.get():
                return  # nobody reads any more
            inbox.put(message)
        inbox.put(None)
    except grpc.RpcError as error:
        # gRPC raises the call itself. With its traceback, the call would refer to the frames
        # that refer to it, and would stay until the garbage collector runs.
        inbox.put(error.with_traceback(None))


def _requests(queued: _Outgoing, opened: SimpleQueue[Any]) -> Iterator[pb.ClientMessage]:
    """Give gRPC's own thread what to send, and cancel the stream from there at its end."""
    outgoing: deque[pb.ClientMessage] = deque()
    while (item := queued.get()) is not None:
        messages, batches = item
        outgoing.extend(messages)
        while outgoing and queued.empty():
            yield next_message(outgoing, batches=batches)
    opened.get().cancel()


def carry(begin: Callable[[], Run], course: Callable[[Run], Steps]) -> Generator[Event, None, None]:
    """Carry a run in the caller's thread, and yield its events. Raises ExecutorClientError."""
    run = begin()
    with run.turn, run.observation:
        steps = course(run)
        failures: list[BaseException] = []
        while True:
            # An exception of a signal handler may come between any two steps of this loop.
            try:
                step = steps.throw(failures.pop()) if failures else next(steps)
                while True:
                    step = steps.send(step() if callable(step) else (yield step))
            except StopIteration:
                return
            except BaseException as error:
                if inspect.getgeneratorstate(steps) == inspect.GEN_CLOSED:
                    raise
                failures.append(error)


def _report(inbox: SimpleQueue[Any], call: ToolCall, future: Future[ToolOutcome]) -> None:
    def report(done: Future[ToolOutcome]) -> None:
        if not done.cancelled():
            inbox.put(done.exception() or Finished(call, done.result()))

    future.add_done_callback(report)
