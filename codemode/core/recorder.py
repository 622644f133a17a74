"""The seam between a recorded run and its calls.

A recorder may answer a call from a record, hold it, wrap it, see and keep its
outcome, or end the run. Hooks can do none of that: they watch, or refuse.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.core.result import ExecutionStatus

__all__ = ["EndRun", "Recorder"]


class EndRun(Exception):  # noqa: N818 - a request, not a failure
    """A recorder's request to end the run now, in a state of the host.

    Raise it in any method of a Recorder. The sandbox is killed and gets no
    answer to the call. Tools that are at work end and are recorded, until the
    run's deadline. The result has ``status``, and ``type`` and ``message`` as
    its ``error``; the run raises nothing.
    """

    def __init__(self, status: ExecutionStatus, type: str, message: str) -> None:
        super().__init__(message)
        self.status: ExecutionStatus = status
        self.type = type
        self.message = message


class Recorder(Protocol):
    """The recorder of one run, which stands before its calls.

    ``call.label`` names the call within the run, in each replay the same.
    ``call.encoded`` are its arguments as they travel, ``call.steps`` what the
    code has taken in since the last call. What the code asks about tools, as by
    ``tools.search()``, is no call and does not come here.

    An exception other than EndRun from any of the methods means that the record
    cannot be written. The call then fails with the type ``RecordingError``, the
    code gets no answer, and the run ends as ``failed``.
    """

    def answer(self, call: ToolCall) -> ToolOutcome | None:
        """Return the outcome of a call that is on record, or None.

        Called for each call that arrives, before permission, validation and
        hooks. An answered call is not counted as a tool call, and no hook or event
        shows it. ``call.arguments`` are empty here. Must not wait: it may run on
        an event loop, and in another thread than the call.
        """

    def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
        """Return the outcome of a call, by ``run()`` or instead of it.

        ``run()`` runs the tool of a sync call here, in the tool's own thread and
        context, and returns its outcome; a tool that raises gives an outcome with
        a ``failure``, so a transaction around ``run()`` must look at it. Of a
        call that is refused, ``run()`` returns the refusal. What is returned
        here is what the code gets. Hooks run around this method.
        """

    async def perform_async(
        self, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        """Return the outcome of an async tool's call; otherwise as ``perform``.

        Runs in the tool's task, and is cancelled with it. In the async half
        refused calls come here too.
        """
