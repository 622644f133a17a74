"""One run of code in a sandbox, reported to the client event by event."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from enum import Enum, auto

from codemode.config import Limits
from codemode.executor.pool.children import Child
from codemode.executor.pool.frame_stream import ReceivedFrame
from codemode.executor.streams import run_events
from codemode.executor.streams.artifact_count import ArtifactCount
from codemode.executor.streams.call_count import CallCount
from codemode.executor.streams.endings import Ending, ending_of_exit
from codemode.executor.streams.event_writer import EventWriter
from codemode.executor.streams.guest_reports import (
    GuestCall,
    artifact_of,
    call_of,
    diverged_of,
    failed_of,
    hint_of,
    output_of,
    progress_of,
    recorded_call_of,
    steps_of,
)
from codemode.executor.streams.stale_calls import refuse_stale_call
from codemode.executor.streams.step_count import StepCount
from codemode.executor.streams.unanswered_calls import UnansweredCalls
from codemode.protos import codemode_pb2 as pb
from codemode.wire.constants import EXIT_NO_MEMORY, MAX_HINTS
from codemode.wire.frames import Frame, FrameError, pack_texts

__all__ = ["ChildLostError", "Run", "RunTerms"]

logger = logging.getLogger("codemode.executor")

_EXIT_WAIT = 1.0
_LOGGED_CHARACTERS = 2_000

_PRINTED = (Frame.STDOUT, Frame.STDERR)
_PASSED_ON = (Frame.ARTIFACT, Frame.STEPS, Frame.RECORDED_CALL)


class ChildLostError(RuntimeError):
    """The death of a child before it took the code, which has not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """The limits of one run, and what its stream knows of the sandbox.

    ``timeout`` limits the wall time of the run and ``cpu_limit`` the CPU time of
    the sandbox, both in seconds. ``fresh`` is True while the sandbox has run no
    code; otherwise it is a session's, whose earlier runs have made
    ``tool_calls_before`` calls. ``isolation`` and ``version`` go to the client.
    """

    limits: Limits
    timeout: float
    cpu_limit: float
    session: bool = False
    fresh: bool = True
    tool_calls_before: int = 0
    isolation: str = ""
    version: str = ""


class _State(Enum):
    SENT = auto()  # not taken by the sandbox yet: another one may still take the code
    TAKEN = auto()  # the code runs
    STOPPED = auto()  # the ending is known; output, artifacts and steps from before are passed on
    FINISHED = auto()  # the client's last event is queued


class Run:
    """One run, which sends the code, passes on what comes back and enforces the limits.

    ``serve()`` returns whether the sandbox may take another run, which only the
    sandbox of a session may. When this side ends a run (``cancel``, the timeout,
    a limit), it kills the child. What the code has printed and given before is
    still passed on, and the client receives the reason.
    """

    def __init__(
        self, request: pb.Run, terms: RunTerms, *, child: Child, events: EventWriter
    ) -> None:
        self.run_id = request.run_id
        self._request = request
        self._terms = terms
        self._limits = terms.limits
        self._child = child
        self._events = events
        self._unanswered = UnansweredCalls(terms.limits)
        self._calls = CallCount(terms.tool_calls_before, terms.limits.max_tool_calls)
        self._artifacts = ArtifactCount(terms.limits)
        self._recorded = request.HasField("replay")
        self._steps = StepCount(terms.limits)
        self._state = _State.SENT
        self._started = False  # the client knows that the code runs
        self._ending: Ending | None = None  # set with STOPPED
        self._output_bytes = 0
        self._hints: list[str] = []
        self._gave_up = False
        self._started_at = time.monotonic()
        self._cpu_before = 0.0

    async def serve(self) -> bool:
        """Run the code to its end; return whether the sandbox may take another run."""
        code = self._request.code.encode("utf-8", "surrogatepass")
        if len(code) > self._limits.max_code_bytes:
            self._end(
                Ending(
                    status="limit",
                    type="CodeSizeLimit",
                    message=(
                        f"the code has {len(code)} bytes; max_code_bytes is "
                        f"{self._limits.max_code_bytes}"
                    ),
                )
            )
            await self._report_ending()
            return self._terms.session
        self._cpu_before = self._child.cpu_seconds() or 0.0
        self._child.exited.add_done_callback(self._child_exited)
        # The clock starts before the code is sent: a sandbox that has run code may not read it.
        clock = asyncio.get_running_loop().call_later(self._terms.timeout, self._time_is_up)
        self._started_at = time.monotonic()
        try:
            if self._recorded:
                replay = self._request.replay
                await self._child.frames.send_frame(Frame.REPLAY, self.run_id, 0, replay)
            await self._child.frames.send_frame(
                Frame.RUN, self.run_id, 0, pack_texts(self._request.code), self._request.inputs
            )
            while frames := await self._child.frames.receive():
                await self._handle(frames)
                await self._events.flush()
                if self._state is _State.FINISHED:
                    return self._terms.session and self._ending is None
            await self._explain_end()
            if self._state is not _State.STOPPED:
                raise ChildLostError
            await self._report_ending()
            return False
        finally:
            clock.cancel()
            self._child.exited.remove_done_callback(self._child_exited)

    @property
    def tool_calls(self) -> int:
        """The number of tool calls of the sandbox so far."""
        return self._calls.tool_calls

    @property
    def begun(self) -> bool:
        """Whether the run is bound to this sandbox: no other may take the code any more."""
        return self._state is not _State.SENT

    @property
    def left_calls(self) -> bool:
        """Whether the code has given calls up, or ended before they were answered."""
        return self._gave_up or bool(self._unanswered)

    def cancel(self) -> None:
        """Stop the run at the client's request."""
        self._stop("cancelled", "Cancelled", "the caller cancelled the execution")

    def answers(self, run_id: int, call_id: int) -> bool:
        """Return whether the code waits for this call; if so, mark it as answered."""
        if run_id != self.run_id or call_id not in self._unanswered:
            return False
        self._unanswered.remove(call_id)
        return True

    def _child_exited(self, _: object) -> None:
        self._unanswered.wake()

    async def _handle(self, frames: list[ReceivedFrame]) -> None:
        index = 0
        while index < len(frames) and self._state is not _State.FINISHED:
            frame = frames[index]
            index += 1
            if frame.kind in _PRINTED:
                body = [frame.body]
                # One event for output that came in consecutive frames.
                while index < len(frames) and frames[index].kind is frame.kind:
                    body.append(frames[index].body)
                    index += 1
                await self._output(frame.kind, b"".join(body))
            elif self._state is not _State.STOPPED or frame.kind in _PASSED_ON:
                try:
                    await self._take(frame)
                except FrameError as error:
                    self._violation(str(error))

    async def _take(self, frame: ReceivedFrame) -> None:
        if frame.run != self.run_id:
            if frame.kind is Frame.CALL and frame.run < self.run_id:
                if not await refuse_stale_call(self._child, frame, self._limits):
                    self._stop("limit", *self._calls.too_many("calls of runs that are over"))
                return
            raise FrameError(f"a {frame.kind.name} frame of run {frame.run}")
        if frame.kind is Frame.TAKEN:
            if self._state is not _State.SENT:
                raise FrameError("a second TAKEN frame")
            self._state = _State.TAKEN
            self._started = True
            terms = self._terms
            await self._events.send(
                run_events.started(self._request, isolation=terms.isolation, version=terms.version)
            )
            return
        if not self._started:
            raise FrameError(f"a {frame.kind.name} frame before TAKEN")
        match frame.kind:
            case Frame.CALL if not self._recorded:
                await self._call(frame)
            case Frame.RECORDED_CALL if self._recorded:
                await self._recorded_call(frame)
            case Frame.STEPS if self._recorded:
                await self._take_steps(frame)
            case Frame.DIVERGED if self._recorded:
                await self._finish(diverged_of(frame, self._last_usage(), self._hints))
            case Frame.CANCEL_CALL:
                await self._cancel_call(frame)
            case Frame.PROGRESS:
                await self._events.send(progress_of(frame))
            case Frame.HINT:
                if len(self._hints) < MAX_HINTS:
                    self._hints.append(hint_of(frame))
            case Frame.ARTIFACT:
                await self._artifact(frame)
            case Frame.COMPLETED:
                await self._complete(frame)
            case Frame.FAILED:
                await self._finish(failed_of(frame, self._last_usage(), self._hints))
            case _:
                run = "a recorded run" if self._recorded else "a run"
                raise FrameError(f"a {frame.kind.name} frame during {run}")

    async def _output(self, kind: Frame, data: bytes) -> None:
        room = self._limits.max_output_bytes - self._output_bytes
        kept = data[:room]
        self._output_bytes += len(kept)
        for message in output_of(kind, kept, self.run_id):
            await self._events.send(message)
        if len(data) > room:
            self._stop(
                "limit",
                "OutputLimit",
                f"the code printed more than max_output_bytes={self._limits.max_output_bytes}; "
                "what is beyond it is cut",
            )

    async def _call(self, frame: ReceivedFrame) -> None:
        call = call_of(frame)
        if await self._admit(frame.call, call):
            await self._pass_call(frame.call, call)

    async def _admit(self, number: int, call: GuestCall) -> bool:
        """Count a call and wait for room; return False when the run is over by then."""
        if number in self._unanswered:
            raise FrameError(f"a second call {number}")
        if (excess := self._calls.add(call.name)) is not None:
            self._stop("limit", *excess)
            return False
        # The guest waits for room by itself. A child that does not is not read until there is room.
        while not self._unanswered.has_room(len(call.arguments)):
            if self._state is _State.STOPPED or self._child.exited.done():
                return False
            await self._events.flush()
            await self._unanswered.change()
        if self._state is _State.STOPPED:
            return False
        self._unanswered.add(number, len(call.arguments))
        return True

    async def _pass_call(self, number: int, call: GuestCall) -> None:
        arguments = await self._events.send_chunks(call.arguments)
        await self._events.send(run_events.tool_call(self.run_id, number, call, arguments))

    async def _recorded_call(self, frame: ReceivedFrame) -> None:
        call = recorded_call_of(frame)
        if (excess := self._steps.add(call.steps)) is not None:
            self._stop("limit", *excess)
        elif self._state is not _State.STOPPED and await self._admit(frame.call, call):
            await self._pass_call(frame.call, call)
        elif call.steps:
            await self._events.send(run_events.steps_taken(self.run_id, call.steps))

    async def _take_steps(self, frame: ReceivedFrame) -> None:
        steps = steps_of(frame)
        if (excess := self._steps.add(steps)) is not None:
            self._stop("limit", *excess)
        else:
            await self._events.send(run_events.steps_taken(self.run_id, steps))

    async def _cancel_call(self, frame: ReceivedFrame) -> None:
        if self.answers(frame.run, frame.call):
            self._gave_up = True
            await self._events.send(run_events.tool_call_cancelled(self.run_id, frame.call))

    async def _artifact(self, frame: ReceivedFrame) -> None:
        name, data = artifact_of(frame)
        if (excess := self._artifacts.add(len(data))) is not None:
            self._stop("limit", *excess)
            return
        rest = await self._events.send_chunks(data)
        artifact = pb.Artifact(run_id=self.run_id, name=name, data=rest)
        await self._events.send(pb.ExecutorMessage(artifact=artifact))

    async def _complete(self, frame: ReceivedFrame) -> None:
        usage = self._last_usage()
        value = await self._events.send_chunks(frame.body)
        await self._finish(run_events.completed(self.run_id, value, usage, self._hints))

    async def _finish(self, last: pb.ExecutorMessage) -> None:
        self._state = _State.FINISHED
        await self._events.send(last)

    def _last_usage(self) -> pb.Usage:
        """Return the usage of a finished run; end the sandbox unless it is a session's."""
        usage = self._usage()
        if not self._terms.session:
            # Even when the client has not read the result by then.
            self._child.close_soon()
        return usage

    async def _explain_end(self) -> None:
        """Wait until the child is gone; find the reason, unless this side ended it."""
        if self._child.frames.violation is not None:
            self._violation(self._child.frames.violation)
        hung_up = False
        try:
            exit = await asyncio.wait_for(asyncio.shield(self._child.exited), _EXIT_WAIT)
        except TimeoutError:
            # The frame socket is closed but the process lives on: nothing can be received from it.
            hung_up = True
            self._child.kill()
            exit = await self._child.exited
        output = self._child.raw_output()
        no_room = exit is not None and exit.code == EXIT_NO_MEMORY
        if self._state is _State.TAKEN or (self._state is _State.SENT and no_room):
            cpu_limit = self._terms.cpu_limit
            self._end(ending_of_exit(exit, self._limits, cpu_limit, output, hung_up=hung_up))
        elif self._state is _State.SENT:
            # Output of an earlier run belongs to the executed code and must not be logged.
            shown = f": {output[-_LOGGED_CHARACTERS:]!r}" if self._terms.fresh and output else ""
            logger.warning("a sandbox was lost before it took its code: %s%s", exit, shown)

    async def _report_ending(self) -> None:
        ending = self._ending
        assert ending is not None
        await self._finish(run_events.ended(self.run_id, ending, self._usage(), self._hints))
        await self._events.flush()

    def _usage(self) -> pb.Usage:
        if self._child.exited.done():
            # Its process id may belong to another process by now.
            exit = self._child.exited.result()
            cpu, rss = (exit.cpu_seconds, exit.max_rss_bytes) if exit else (0.0, 0)
        else:
            cpu = self._child.cpu_seconds() or 0.0
            rss = self._child.max_rss_bytes() or 0
        return pb.Usage(
            wall_seconds=time.monotonic() - self._started_at,
            cpu_seconds=max(0.0, cpu - self._cpu_before),
            max_rss_bytes=rss,
            output_bytes=self._output_bytes,
            tool_calls=self.tool_calls - self._terms.tool_calls_before,
        )

    def _time_is_up(self) -> None:
        self._stop(
            "timeout",
            "Timeout",
            f"the code ran longer than execution_timeout={self._terms.timeout:g} s",
        )

    def _violation(self, what: str) -> None:
        self._stop("crashed", "ProtocolError", f"the sandbox broke the protocol: {what}")

    def _stop(self, status: str, type: str, message: str) -> None:
        """End the run from this side; the first reason counts."""
        if self._state in (_State.SENT, _State.TAKEN):
            self._end(Ending(status=status, type=type, message=message))
            self._unanswered.wake()
            self._child.kill()
            # A process that the code forked may keep the frame socket open longer.
            asyncio.get_running_loop().call_later(_EXIT_WAIT, self._child.close)

    def _end(self, ending: Ending) -> None:
        self._ending = ending
        self._state = _State.STOPPED
