"""One open stream to one sandbox, as the driver sees it. Does no IO."""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._link.request import Peer, result_messages
from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.core.result import ExecutionResult
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import BATCHES

__all__ = ["Ending", "Finished", "Link"]


class Ending(enum.Enum):
    """The reason for which this side ends a stream."""

    ABORTED = enum.auto()  # by the caller or by close(): the run ends as cancelled
    SILENT = enum.auto()  # the executor has given no sign of life, and others do
    OVERDUE = enum.auto()  # the executor has not answered in time
    INHERITED = enum.auto()  # this process was forked, and the stream is its parent's
    BY_HOST = enum.auto()  # the run has ended in a state of the host


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a tool that ran beside the driver."""

    call: ToolCall
    outcome: ToolOutcome


class Link(ABC):
    """One open stream to one sandbox, which carries one run at a time.

    The methods that return Any wait. Those of the sync half return the result
    itself, those of the async half an awaitable.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.ending: Ending | None = None
        self.why = ""  # it was aborted
        self.spent = ""  # why its sandbox takes no further run
        self.peer = Peer()
        self.channel: Any = None  # kept open, even where new calls use another one
        self.batches = False  # the executor takes them
        self.idle = False  # the last run has ended, as the executor reports
        self.pause_seconds = math.inf  # of waiting, after which there is a PAUSE
        self._run_id = 0
        self._running: dict[int, ToolCall] = {}  # calls whose tools run beside the driver
        self._unread: deque[pb.ExecutorMessage] = deque()

    def begin_run(self, run_id: int, pause_seconds: float) -> None:
        """Prepare for a run. Tools of an earlier one that still end are ignored."""
        self._run_id, self.pause_seconds = run_id, pause_seconds
        self._running, self.idle = {}, False

    def learn(self, features: frozenset[str]) -> None:
        """Note what the executor accepts, for this stream and for later ones."""
        self.batches = BATCHES in features
        self.peer.features = features

    def abort(self, why: str) -> None:
        """Cancel the stream, from any thread; the run ends as ``cancelled``."""
        if self.ending is None:
            self.why = why
        elif self.ending is Ending.BY_HOST:
            self.ending = Ending.ABORTED  # the driver waits for tools, and shall not any more
        self._give_up(Ending.ABORTED)

    def kill(self) -> None:
        """End the sandbox because the run has ended here; its tools that are at work go on."""
        self._give_up(Ending.BY_HOST)

    def answer(self, call_id: int, outcome: ToolOutcome) -> Any:
        """Send the outcome of a call."""
        return self.send(result_messages(self._run_id, call_id, outcome))

    def forget(self) -> None:
        """Leave the stream, in a forked child, to the parent."""
        self.ending = Ending.INHERITED

    def _give_up(self, ending: Ending) -> None:
        # No lock: a signal handler might find it taken. Of two endings at once either may stay.
        self.ending = self.ending or ending
        self._cancel()

    @abstractmethod
    def _cancel(self) -> None:
        """Cancel gRPC's call, from any thread."""

    @abstractmethod
    def start_clock(self, seconds: float) -> None:
        """Give up the stream after so many seconds, unless ``stop_clock()`` comes first."""

    @abstractmethod
    def stop_clock(self) -> None:
        """Stop the clock, if one runs."""

    @abstractmethod
    def cancel_call(self, call_id: int) -> None:
        """Cancel an async tool whose result the code no longer awaits."""

    @abstractmethod
    def send(self, messages: Sequence[pb.ClientMessage]) -> Any:
        """Send messages that belong together."""

    @abstractmethod
    def receive(self) -> Any:
        """Return the next message, ``Finished`` or ``PAUSE``; None at the end of the stream.

        Raises grpc.RpcError when the stream failed or was given up.
        """

    @abstractmethod
    def compute(self, size: int, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function that decodes ``size`` bytes, where that holds up nobody else."""

    @abstractmethod
    def start(self, call: ToolCall, dispatcher: Dispatcher) -> Any:
        """Run a tool; return whether it has ended. If not, its ``Finished`` is received."""

    @abstractmethod
    def receive_finished(self, deadline: float) -> Any:
        """Return the next ``Finished`` of a killed stream; None when no tool is at work.

        Waits until ``deadline``, on the clock of ``time.monotonic()``, or until the
        run is cancelled.
        """

    @abstractmethod
    def look_up(
        self,
        call_id: int,
        name: str,
        question: bytes,
        dispatcher: Dispatcher,
        call: ToolCall | None = None,
    ) -> Any:
        """Answer what the code asks about tools; ``call`` is the question in a recorded run."""

    @abstractmethod
    def end_tools(self) -> Any:
        """Cancel the tools that still run, and wait for their end."""

    @abstractmethod
    def failure(self, error: grpc.RpcError, result: ExecutionResult | None) -> Any:
        """Return the exception for an error that has ended the stream."""

    @abstractmethod
    def sleep(self, seconds: float) -> Any:
        """Wait before another attempt."""

    @abstractmethod
    def close(self) -> Any:
        """End the stream, and so its sandbox and what runs here for it. Idempotent."""
