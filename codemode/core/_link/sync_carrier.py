"""The sync half: an execution that is carried by the caller's own thread.

Sync tools run in the thread that called; a thread of the stream reads what
comes for it. The first async tool starts a loop for this execution, in a thread
of its own.
"""

from __future__ import annotations

import contextvars
import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import grpc

from codemode.core._dispatch.dispatcher import Dispatcher, ToolCall, ToolOutcome
from codemode.core._grpc.apart import begin_apart, take
from codemode.core._link.grpc_errors import client_error, inherited_stream, overdue
from codemode.core._link.request import next_message, result_messages
from codemode.core._link.tool_loop import Finished, ToolLoop, Work
from codemode.core._link.transcript import Transcript, call_finished
from codemode.core.event_stream import PAUSE
from codemode.core.events import (
    Event,
    ExecutionCompleted,
    ToolCallStarted,
)
from codemode.errors import ExecutorProtocolError
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import unbatched

__all__ = ["SyncLink", "drive"]

type _Outgoing = SimpleQueue[tuple[Sequence[pb.ClientMessage], bool] | None]
"""Messages that belong together and whether they may go as a batch; None at the end."""

_READ_AHEAD = 8


class SyncLink:
    """One open stream to one sandbox, for one thread at a time.

    An exception of a signal handler may come between any two steps of the
    caller's thread. Within gRPC it would leave a lock held for ever, so that
    thread only uses queues, whose steps are whole; others call gRPC for it.
    """

    _tools: ToolLoop | None = None

    def __init__(
        self,
        stub: Any,
        messages: Sequence[pb.ClientMessage],
        *,
        url: str,
        metadata: tuple[tuple[str, str], ...],
        timeout: float | None,
        wait: Callable[[], None],
    ) -> None:
        self.url = url
        self.closing = ""  # why the stream is cancelled from this side
        self.inherited = False
        self.overdue = False
        self.batches = False  # the executor takes them
        self.idle = False  # the last run has ended, by the executor's own word
        self.pause_seconds = math.inf  # of waiting, after which there is a PAUSE
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        """All that the caller's thread has to do."""
        self._outgoing: _Outgoing = SimpleQueue()
        self.send(messages)
        self._room: SimpleQueue[bool] = SimpleQueue()
        for _ in range(_READ_AHEAD):
            self._room.put(True)
        self._unread: deque[pb.ExecutorMessage] = deque()
        self._ended = False
        # In the caller's context, to which instrumentation of gRPC looks for its spans.
        in_context = contextvars.copy_context().run
        execute = partial(stub.Execute, metadata=metadata, timeout=timeout)
        left: list[bool] = []

        def open_stream(requests: Iterator[pb.ClientMessage]) -> Any:
            wait()
            return None if left else execute(requests)

        carry = partial(in_context, _carry, open_stream, self._outgoing, self.inbox, self._room)
        try:
            begin_apart(carry)
            self._call, refusal = take(self.inbox)
        except BaseException:
            left.append(True)
            self._outgoing.put(None)
            raise
        if refusal is not None:
            raise refusal

    def send(self, messages: Sequence[pb.ClientMessage]) -> None:
        """Queue messages that belong together. Safe from any thread."""
        self._outgoing.put((messages, self.batches))

    def receive(self) -> Any:
        """Return the next thing to do: a message, or an item of ``inbox``. None is the end."""
        if self.inherited:
            raise inherited_stream(self.url)
        while not self._unread:
            try:
                item = take(self.inbox, within=self.pause_seconds)
            except Empty:
                return PAUSE
            if isinstance(item, BaseException):
                raise item
            if not isinstance(item, pb.ExecutorMessage):
                return item
            self._room.put(True)
            self._unread.extend(unbatched(item))
        return self._unread.popleft()

    @property
    def tools(self) -> ToolLoop:
        """Return the loop of the async tools, starting it when there is none."""
        if self._tools is None:
            self._tools = ToolLoop(self.inbox)
        return self._tools

    def cancel_call(self, call: ToolCall) -> None:
        """Cancel an async tool that nobody waits for any more."""
        if self._tools is not None:
            self._tools.cancel(call)

    def end_run(self, dispatcher: Dispatcher) -> None:
        """Cancel the async tools that are still running, and wait for their end."""
        dispatcher.cancel_all()
        if self._tools is not None:
            self._tools.cancel_all()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give up the stream when the block takes longer."""
        in_time: SimpleQueue[None] = SimpleQueue()

        def clock() -> None:
            try:
                in_time.get(timeout=seconds)
            except Empty:
                self.overdue = True
                self._call.cancel()

        try:
            begin_apart(clock)
            yield
        finally:
            in_time.put(None)

    def abort(self, why: str) -> None:
        """Cancel the stream, from any thread; the run ends as ``cancelled``."""
        self.closing = why
        self._cancel()

    def _cancel(self) -> None:
        begin_apart(self._call.cancel)

    def forget(self) -> None:
        """Leave the stream, in a forked child, to the parent."""
        self.inherited = self._ended = True

    def close(self) -> None:
        """End the stream, by which the sandbox dies, and what runs for it here. Idempotent."""
        if self._ended:
            return
        self._outgoing.put(None)
        self._ended = True
        self._room.put(False)
        if not self.idle:
            self._cancel()
        if self._tools is not None:
            self._tools.stop()

    def __del__(self) -> None:
        # An interrupt may have kept close(), or __init__(), from any of their steps.
        if hasattr(self, "_room"):
            self._outgoing.put(None)
            self._room.put(False)
        if self._tools is not None:
            self._tools.abandon()


def _carry(
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
        inbox.put(error)


def _requests(queued: _Outgoing, opened: SimpleQueue[Any]) -> Iterator[pb.ClientMessage]:
    """Give gRPC's own thread what to send, and cancel the stream from there at its end."""
    outgoing: deque[pb.ClientMessage] = deque()
    while (item := queued.get()) is not None:
        messages, batches = item
        outgoing.extend(messages)
        while outgoing and queued.empty():
            yield next_message(outgoing, batches=batches)
    opened.get().cancel()


def drive(link: SyncLink, transcript: Transcript, run_id: int) -> Generator[Event, None, None]:
    """Carry one run to its end, telling each event. Raises ExecutorClientError."""
    dispatcher = transcript.dispatcher
    running: dict[int, ToolCall] = {}
    link.idle = False
    try:
        while True:
            item = link.receive()
            if item is PAUSE:
                yield PAUSE
            elif isinstance(item, Work):
                item.run()
            elif isinstance(item, Finished):
                if running.pop(item.call.call_id, None) is item.call:
                    yield from _answer(link, run_id, item.call, item.outcome)
            elif item is None:
                raise ExecutorProtocolError(
                    f"{link.url} ended the stream before the run had ended",
                    result=transcript.partial(),
                )
            else:
                match item.WhichOneof("message"):
                    case "tool_call":
                        message = item.tool_call
                        call = dispatcher.begin(
                            message.call_id,
                            message.name,
                            transcript.chunks.whole(message.arguments),
                        )
                        yield ToolCallStarted(
                            call_id=call.call_id, name=call.name, arguments=call.arguments
                        )
                        if call.failure is None and call.asynchronous:
                            running[call.call_id] = call
                            link.tools.start(call, dispatcher)
                        elif call.failure is None and not call.thread_sensitive:
                            running[call.call_id] = call
                            _report(link.inbox, call, dispatcher.run_in_pool(call))
                        else:
                            yield from _answer(link, run_id, call, dispatcher.call_sync(call))
                    case "tool_call_cancelled":
                        if cancelled := running.pop(item.tool_call_cancelled.call_id, None):
                            link.cancel_call(cancelled)
                    case "completed":
                        link.idle = True
                        link.end_run(dispatcher)
                        yield ExecutionCompleted(result=transcript.complete(item.completed))
                        return
                    case "failed":
                        link.idle = True
                        link.end_run(dispatcher)
                        yield ExecutionCompleted(result=transcript.fail(item.failed))
                        return
                    case _:
                        if (event := transcript.event(item)) is not None:
                            link.batches = transcript.batches
                            yield event
    except grpc.RpcError as error:
        link.end_run(dispatcher)
        if link.overdue:
            raise overdue(link.url, transcript.partial()) from error
        if not link.closing:
            raise client_error(error, link.url, transcript.partial()) from error
        yield ExecutionCompleted(result=transcript.cancelled(link.closing))
    finally:
        # Also when the caller leaves: a tool that waits for a thread must not run any more.
        if not link.inherited:
            dispatcher.cancel_all()


def _answer(link: SyncLink, run_id: int, call: ToolCall, outcome: ToolOutcome) -> Iterator[Event]:
    link.send(result_messages(run_id, call.call_id, outcome))
    yield call_finished(call)


def _report(inbox: SimpleQueue[Any], call: ToolCall, future: Future[ToolOutcome]) -> None:
    def report(done: Future[ToolOutcome]) -> None:
        if not done.cancelled():
            inbox.put(done.exception() or Finished(call, done.result()))

    future.add_done_callback(report)
