"""The passage of a recorded run's calls through its recorder, whatever that does."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._dispatch.outcomes import CANCELLED, TIME_IS_OVER, WITHHELD, refuse
from codemode.core.hooks import ToolCall, ToolFailure, ToolOutcome, failure_of
from codemode.core.recorder import EndRun, Recorder

__all__ = ["Seam"]

logger = logging.getLogger("codemode.tools")


class Seam:
    """The seam at which a recorder stands before the calls of one run.

    ``ending`` is set once the run ends in a state of the host; no further tool
    starts then. Safe from any thread.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.ending: EndRun | None = None

    def end(self, ending: EndRun) -> None:
        """End the run in a state of the host; the first ending stands."""
        self.ending = self.ending or ending

    def answer(self, call: ToolCall) -> ToolOutcome | None:
        """Return the outcome of a call that is on record, or None. Raises EndRun."""
        try:
            return call.context.run(self._recorder.answer, call)
        except EndRun:
            raise
        except Exception as error:
            if is_interrupt(error):
                raise
            failure = _recording_error(call, error)
            raise EndRun("failed", failure.type, failure.message) from error

    def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
        """Return the outcome of a call by way of the recorder; WITHHELD if the run ends."""
        if self._is_late(call):
            return WITHHELD
        try:
            outcome = self._recorder.perform(call, run)
        except Exception as error:
            if is_interrupt(error):
                raise
            return self._not_recorded(call, error)
        return _standing(call, outcome)

    async def perform_async(
        self, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        """Return the outcome of a call in a task; otherwise as ``perform``."""
        if self._is_late(call):
            return WITHHELD
        try:
            outcome = await self._recorder.perform_async(call, run)
        except Exception as error:
            if is_interrupt(error):
                raise
            return self._not_recorded(call, error)
        return _standing(call, outcome)

    def _is_late(self, call: ToolCall) -> bool:
        """Return whether a call comes too late to be answered, and so to be recorded."""
        if self.ending is not None and call.outcome is None:
            refuse(call, CANCELLED)
        failure = call.failure
        return failure is not None and (failure is CANCELLED or failure.type == TIME_IS_OVER)

    def _not_recorded(self, call: ToolCall, error: Exception) -> ToolOutcome:
        if isinstance(error, EndRun):
            ending = error
            call.entry.end("refused", f"{ending.type}: {ending.message}")
            failure = ToolFailure(kind="cancelled", type=ending.type, message=ending.message)
            call.outcome = call.outcome or ToolOutcome(failure=failure)
        else:
            logger.error("The call of %s could not be recorded", call.name, exc_info=error)
            failure = _recording_error(call, error)
            call.entry.correct("failed", f"{failure.type}: {failure.message}")
            call.outcome = ToolOutcome(failure=failure)
            ending = EndRun("failed", failure.type, failure.message)
        self.end(ending)
        return WITHHELD


def _standing(call: ToolCall, outcome: ToolOutcome) -> ToolOutcome:
    """Note the outcome that the recorder gives, if it is another one than the tool's."""
    if outcome is call.outcome:
        return outcome
    call.outcome = outcome
    failure = outcome.failure
    if failure is None:
        call.entry.end("completed")
    else:
        call.entry.end("refused", f"{failure.type}: {failure.message}")
    return outcome


def _recording_error(call: ToolCall, error: Exception) -> ToolFailure:
    reason = failure_of(error)
    return ToolFailure(
        kind="error",
        type="RecordingError",
        message=f"the call of {call.name} could not be recorded, whatever it has done: "
        f"{reason.type}: {reason.message}",
    )
