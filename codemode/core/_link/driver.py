"""The course of one run, from its first attempt to its last event. Does no IO.

A course is a generator of steps. A step is an event for the caller, or a
request: a function that a carrier calls, and in the async half awaits. The
carrier hands back what a request returns or raises, and what the caller throws.
"""

from __future__ import annotations

import contextvars
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import takewhile
from typing import Any

import grpc

from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._dispatch.observation import Observation
from codemode.core._dispatch.seam import Seam
from codemode.core._link.grpc_errors import overdue, silent
from codemode.core._link.link import Ending, Finished, Link
from codemode.core._link.request import RunRequest, SandboxRequest, run_messages
from codemode.core._link.transcript import Transcript
from codemode.core.context import RuntimeContext
from codemode.core.event_stream import PAUSE, Cancellation
from codemode.core.events import Event, ExecutionCompleted, ExecutionStarted
from codemode.core.hooks import Execution, ToolCall
from codemode.core.recorder import EndRun, Recorder
from codemode.core.recording import Recording
from codemode.core.registry import ComponentRegistry
from codemode.core.result import ExecutionResult
from codemode.errors import ExecutorConnectionError, ExecutorProtocolError
from codemode.protos import codemode_pb2 as pb
from codemode.wire.constants import LOOKUPS

__all__ = ["Run", "Steps", "run_in_session", "run_once"]

type Request = Callable[[], Any]
type Steps = Generator[Event | Request, Any, None]

# Seconds between attempts to hand the code to an executor; None ends them.
# They end with `started` as well: before it no tool can have been called, and
# after it nothing is ever sent twice.
_PAUSES = (0.05, 0.1, 0.2, None)

# The statuses of a run after which its sandbox takes another one.
_SURVIVED = ("completed", "failed")

_ENDS = ("completed", "failed")  # the messages that are a run's last
# How a run can end before a sandbox has taken its code.
_ENDED_BY_EXECUTOR = frozenset({"timeout", "cancelled", "limit", "crashed"})


class Run:
    """One run: what is asked for, in which context, and who watches it."""

    def __init__(
        self,
        registry: ComponentRegistry,
        sandbox: SandboxRequest,
        request: RunRequest,
        context: RuntimeContext | None,
        cancellation: Cancellation | None = None,
        pause_seconds: float = math.inf,
        turn: AbstractContextManager[object] | None = None,
        recording: Recording | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._recording, self._recorder = recording, recorder
        if recording is not None:
            turn = recording._turn()
        self.sandbox = sandbox
        self.request = request
        self.cancellation = cancellation or Cancellation()
        self.pause_seconds = pause_seconds
        self.turn = turn or nullcontext()
        """A block around the whole run, in which its session or recording serves no other."""
        self._registry = registry
        self._context = context
        execution = Execution(
            execution_id=request.execution_id,
            code=request.code,
            inputs=request.inputs,
            context=context if context is not None else RuntimeContext(),
            tools=sandbox.tools,
            execution_timeout=request.execution_timeout,
            session=sandbox.session,
        )
        self.observation = Observation(registry.observers, execution)

    def begin(self) -> Transcript:
        """Begin the record of an attempt; it is final if the code must not be sent."""
        request, limits = self.request, self.sandbox.limits
        recorded, seam = None, None
        if self._recording is not None:
            recorded = self._recording._begin(
                execution_id=request.execution_id,
                profile=self.sandbox.profile,
                code=request.code,
                inner=self._recorder,
            )
            seam = Seam(recorded)
        dispatcher = Dispatcher(
            registry=self._registry,
            tools=self.sandbox.tools,
            listed=self.sandbox.listed,
            execution_id=request.execution_id,
            max_calls=limits.max_tool_calls,
            max_value_bytes=limits.max_value_bytes,
            deadline=time.monotonic() + request.execution_timeout,
            captured=contextvars.copy_context(),
            runtime_context=self._context,
            seam=seam,
        )
        transcript = self.observation.transcript = Transcript(
            execution_id=request.execution_id,
            code=request.code,
            execution_timeout=request.execution_timeout,
            dispatcher=dispatcher,
            limits=limits,
            recording=recorded,
        )
        if self.cancellation.why:
            transcript.cancelled(self.cancellation.why)
        elif (size := request.code_bytes()) > limits.max_code_bytes:
            transcript.refuse_code_size(size, limits.max_code_bytes)
        return transcript

    def watch(self, link: Link) -> None:
        """Note the stream that carries the run, for those who cancel it."""
        link.begin_run(self.request.run_id, self.pause_seconds)
        self.cancellation.watch(link)


def run_once(run: Run, open_link: Callable[..., Any], waits: Iterator[float]) -> Steps:
    """Run code on a stream of its own, and on another one while no executor has taken it.

    ``open_link`` is of the half that carries the run. ``waits`` bounds the time of all attempts.
    """
    waits = takewhile(lambda _: not run.cancellation.why, waits)
    for pause in _PAUSES:
        transcript = run.begin()
        if transcript.final is not None:
            yield ExecutionCompleted(result=transcript.final)
            return
        recorded = transcript.recording
        replay = None
        if recorded is not None:
            replay = recorded.replay(run.sandbox.limits.max_value_bytes)
        messages = run.sandbox.messages(run.request, replay)
        timeout = run.sandbox.deadline(run.request)
        # What comes on a stream is not read any more once it is left. So no call of a tool is
        # answered that the code has made there, and there alone code could have an effect.
        link: Link = yield partial(
            open_link, messages, timeout=timeout, waited=waits, may_leave=pause is not None
        )
        try:
            run.watch(link)
            yield from _drive(run, link, transcript)
            return
        except ExecutorConnectionError:
            if transcript.started or pause is None:
                raise
        finally:
            run.cancellation.watch(None)
            yield link.close
        yield partial(link.sleep, pause)


def run_in_session(run: Run, link: Link) -> Steps:
    """Run code in the sandbox of a session, and note when that takes no further run."""
    transcript = run.begin()
    if transcript.final is not None:
        yield ExecutionCompleted(result=transcript.final)
        return
    messages = run_messages(run.request, run.sandbox.limits)
    try:
        run.watch(link)
        link.start_clock(run.sandbox.deadline(run.request))
        yield partial(link.send, messages)
        yield from _drive(run, link, transcript)
    except BaseException as error:
        if transcript.final is None:
            link.spent = f"its last run raised {type(error).__name__}"
            yield link.close
        raise
    finally:
        run.cancellation.watch(None)
        link.stop_clock()
        _note_end(transcript.final, link)


def _note_end(result: ExecutionResult | None, link: Link) -> None:
    if result is not None and result.status not in _SURVIVED:
        link.spent = f"its last run ended with status {result.status!r}"


def _drive(run: Run, link: Link, transcript: Transcript) -> Steps:
    """Drive a run whose code is on its way to its end. Raises ExecutorClientError."""
    dispatcher = transcript.dispatcher
    seam = dispatcher.seam
    try:
        while transcript.final is None:
            item = yield link.receive
            if item is None:
                raise ExecutorProtocolError(
                    f"{link.url} ended the stream before the run had ended",
                    result=transcript.partial(),
                )
            if item is PAUSE:
                yield PAUSE
            elif isinstance(item, Finished):
                yield transcript.call_finished(item.call)
            elif seam is None:
                yield from _take(item, link, transcript)
            else:
                yield from _take_recorded(item, link, transcript, seam)
            if seam is not None and seam.ending is not None and transcript.final is None:
                yield from _end_here(link, transcript, seam.ending)
    except grpc.RpcError as error:
        dispatcher.cancel_all()
        yield link.end_tools
        if link.ending is Ending.SILENT:
            raise silent(link.url) from error
        if link.ending is Ending.OVERDUE:
            raise overdue(link.url, transcript.partial()) from error
        if link.ending is not Ending.ABORTED:
            raise (yield partial(link.failure, error, transcript.partial())) from error
        transcript.cancelled(link.why)
    finally:
        # Even when the caller leaves: a tool that waits for a thread must not run any more.
        if link.ending is not Ending.INHERITED:
            dispatcher.cancel_all()
    run.cancellation.watch(None)  # before the last event: the stream may be a session's
    assert transcript.final is not None
    yield ExecutionCompleted(result=transcript.final)


def _take(message: pb.ExecutorMessage, link: Link, transcript: Transcript) -> Steps:
    dispatcher = transcript.dispatcher
    match message.WhichOneof("message"):
        case "tool_call":
            wanted = message.tool_call
            arguments = transcript.chunks.whole(wanted.arguments)
            if wanted.name in LOOKUPS:
                yield partial(link.look_up, wanted.call_id, wanted.name, arguments, dispatcher)
                return
            begin = partial(dispatcher.begin, wanted.call_id, wanted.name, arguments)
            call = yield partial(link.compute, len(arguments), begin)
            yield from _run_tool(call, link, transcript)
        case "tool_call_cancelled":
            link.cancel_call(message.tool_call_cancelled.call_id)
        case "completed" | "failed" as how:
            link.idle = True
            dispatcher.cancel_all()
            yield link.end_tools
            if how == "failed":
                transcript.fail(message.failed)
                return
            size = len(message.completed.value) + transcript.chunks.size
            complete = partial(transcript.complete, message.completed)
            yield partial(link.compute, size, complete)
        case _:
            if (event := transcript.event(message)) is not None:
                if isinstance(event, ExecutionStarted):
                    link.learn(transcript.features)
                yield event


def _run_tool(call: ToolCall, link: Link, transcript: Transcript) -> Steps:
    yield transcript.call_started(call)
    if (yield partial(link.start, call, transcript.dispatcher)):
        yield transcript.call_finished(call)


def _take_recorded(
    message: pb.ExecutorMessage, link: Link, transcript: Transcript, seam: Seam
) -> Steps:
    """Take a message of a recorded run: first past its recording, then as any other."""
    recorded = transcript.recording
    assert recorded is not None
    kind = message.WhichOneof("message")
    try:
        if kind == "started":
            recorded.started(message.started, link.url)
        elif not transcript.started and message.failed.status not in _ENDED_BY_EXECUTOR:
            raise ExecutorProtocolError(f"{link.url} sent {kind!r} before the start of the run")
        elif kind == "tool_call":
            yield from _take_recorded_call(message.tool_call, link, transcript)
            return
        elif kind == "tool_call_cancelled":
            recorded.give_up(message.tool_call_cancelled.call_id)
        elif kind == "steps":
            recorded.steps(message.steps.data)
        elif kind in _ENDS:
            yield from _take_recorded_end(message, link, transcript)
            return
        yield from _take(message, link, transcript)
    except EndRun as ending:
        seam.end(ending)


def _take_recorded_call(wanted: pb.ToolCall, link: Link, transcript: Transcript) -> Steps:
    dispatcher = transcript.dispatcher
    data = transcript.chunks.whole(wanted.arguments)
    lookup = wanted.name in LOOKUPS
    begin = partial(
        dispatcher.begin_lookup if lookup else dispatcher.begin,
        wanted.call_id,
        wanted.name,
        data,
        label=wanted.label,
        steps=wanted.steps,
    )
    call = yield partial(link.compute, len(data), begin)
    if call.answered:
        yield partial(link.answer, call.call_id, call.outcome)
    elif lookup:
        yield partial(link.look_up, call.call_id, call.name, data, dispatcher, call)
    else:
        yield from _run_tool(call, link, transcript)


def _take_recorded_end(message: pb.ExecutorMessage, link: Link, transcript: Transcript) -> Steps:
    recorded = transcript.recording
    assert recorded is not None
    link.idle = True
    if message.failed.status in ("", "failed"):  # the code has ended by itself
        recorded.check_end()
    yield from _take(message, link, transcript)
    assert transcript.final is not None
    recorded.ended(transcript.final.status)


def _end_here(link: Link, transcript: Transcript, ending: EndRun) -> Steps:
    """End a run in a state of the host: its sandbox at once, its tools when they have ended."""
    dispatcher = transcript.dispatcher
    if not link.idle:
        link.kill()
        while (item := (yield partial(link.receive_finished, dispatcher.deadline))) is not None:
            yield transcript.call_finished(item.call)
    dispatcher.cancel_all()
    yield link.end_tools
    transcript.end(ending)
