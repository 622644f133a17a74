"""One Execute stream: one sandbox, from its opening to its end."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

import grpc

from codemode.config import ExecutorConfig, Limits
from codemode.executor.host.limits import LimitRefusedError, resolve_limits, resolve_seconds
from codemode.executor.pool.children import Child
from codemode.executor.pool.pool import PoolUnavailableError
from codemode.executor.pool.pools import Pools, UnknownProfileError
from codemode.executor.pool.profiles import DEFAULT
from codemode.executor.streams.admission import Admission, BusyError, Slot
from codemode.executor.streams.client_messages import ClientMessages, RequestRefusedError
from codemode.executor.streams.event_writer import EventWriter
from codemode.executor.streams.run import ChildLostError, Run, RunTerms
from codemode.executor.streams.sandbox_opening import check_tools, open_sandbox
from codemode.executor.streams.sign_of_life import SignOfLife, StreamClient
from codemode.executor.streams.stale_calls import refuse_stale_call
from codemode.protos import codemode_pb2 as pb
from codemode.wire.frames import Frame, pack_texts
from codemode.wire.protobuf import EOF, PROTOCOL_VERSION

__all__ = ["ExecuteStream", "ExecutorResources", "Refusal"]

_OPENING_SECONDS = 60.0
_TAKE_ATTEMPTS = 3
_MAKING_SECONDS = 5.0
_ENDLESS = 1e9
# After a run that has left calls, the client may be writing an answer. A stream that ends meanwhile
# fails on its side, with all that it has not read yet.
_WRITING_SECONDS = 5.0
# The default limit of CPU time is this much above the wall clock's, so that the wall clock ends
# code that keeps one core busy, and not one or the other by chance.
_SPARE_CPU_SECONDS = 1.0

type Refusal = tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]
"""The arguments that abort a stream: status, details, trailing metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorResources:
    """What all streams of an executor share. ``isolation`` is the tier as results name it."""

    config: ExecutorConfig
    pools: Pools
    admission: Admission
    isolation: str
    version: str


class ExecuteStream:
    """One stream on the executor's side: its admission, its sandbox and its runs."""

    def __init__(self, resources: ExecutorResources, client: StreamClient) -> None:
        self._resources = resources
        self._limits = resources.config.limits
        self._client = client
        self._messages = ClientMessages(client, resources.config.ceilings.max_value_bytes)
        self._runs: asyncio.Queue[pb.Run | None] = asyncio.Queue(maxsize=1)
        self._current: Run | None = None
        self._child: Child | None = None
        self._slot: Slot | None = None
        self._deadline = 0.0
        self._client_may_write = False
        self._refusal: RequestRefusedError | LimitRefusedError | None = None
        self._sign = SignOfLife(client)

    async def serve(self) -> Refusal | None:
        """Serve the stream to its end; when it is refused, return how to abort it."""
        try:
            await self._admitted(await self._read_opening())
        except (RequestRefusedError, LimitRefusedError) as error:
            return grpc.StatusCode.INVALID_ARGUMENT, str(error), ()
        except BusyError as error:
            advice = (("retry-after", f"{error.retry_after:g}"),)
            return grpc.StatusCode.RESOURCE_EXHAUSTED, f"busy: {error}", advice
        except PoolUnavailableError as error:
            return grpc.StatusCode.UNAVAILABLE, str(error), ()
        finally:
            await self._sign.stop()
        return None

    async def _read_opening(self) -> pb.Open:
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                first = await self._messages.read_first(self._resources.admission)
        except TimeoutError:
            raise RequestRefusedError(
                f"no `open` came within {_OPENING_SECONDS:g} s of the beginning of the stream"
            ) from None
        if first is EOF or first.WhichOneof("message") != "open":
            raise RequestRefusedError("the first message of an Execute stream must be `open`")
        opening: pb.Open = first.open
        if opening.protocol_version != PROTOCOL_VERSION:
            raise RequestRefusedError(
                f"protocol_version {opening.protocol_version} is not supported; this executor "
                f"(version {self._resources.version}) speaks {PROTOCOL_VERSION}: use a client and "
                "an executor of the same release"
            )
        try:
            self._resources.pools.check(opening.profile or DEFAULT)
        except UnknownProfileError as error:
            raise RequestRefusedError(str(error)) from None
        check_tools(opening.tools, opening.tool_names)
        if not opening.session and not opening.HasField("run"):
            raise RequestRefusedError("an `open` that is not a session's must carry its `run`")
        return opening

    async def _complete_replay(self, run: pb.Run) -> None:
        """Wait for the parts of a replay, before the stream takes a slot from another."""
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                await self._messages.read_replay(run, self._resources.admission)
        except TimeoutError:
            raise RequestRefusedError(
                f"the {run.replay_parts} further parts of the replay of run {run.run_id} did not "
                f"all come within {_OPENING_SECONDS:g} s"
            ) from None

    async def _admitted(self, opening: pb.Open) -> None:
        config = self._resources.config
        self._limits = resolve_limits(opening.limits, config.limits, config.ceilings)
        if not opening.accepts_artifacts:
            none = {"max_artifacts": 0, "max_artifact_bytes": 0}
            self._limits = self._limits.model_copy(update=none)
        self._messages.max_value_bytes = self._limits.max_value_bytes
        queue_timeout = self._seconds("queue_timeout", opening.queue_timeout)
        if opening.HasField("run"):
            run = self._checked_run(opening.run, session=opening.session)
            if run.HasField("replay"):
                await self._complete_replay(run)
            self._runs.put_nowait(run)
        self._deadline = asyncio.get_running_loop().time() + queue_timeout
        self._slot = await self._resources.admission.acquire(
            opening.fairness_key,
            queue_timeout,
            opening.ByteSize(),
            opening.within_execution_id,
        )
        reader = asyncio.create_task(self._read_client(session=opening.session))
        try:
            await self._serve_runs(opening)
            if self._client_may_write:
                self._close_child(opening.fairness_key)
                await asyncio.wait((reader,), timeout=_WRITING_SECONDS)
        finally:
            reader.cancel()
            self._close_child(opening.fairness_key)
        if self._refusal is not None:
            raise self._refusal

    def _close_child(self, key: str) -> None:
        """Close the sandbox: at once if it is not done or its slot is needed, else shortly.

        The slot is freed when the process is really gone.
        """
        child = self._child
        if child is None:
            self._free_slot()
            return
        if not child.closes_soon or self._resources.admission.would_wait(key):
            child.close()
        if child.exited.done():
            self._free_slot()
        else:
            child.exited.add_done_callback(lambda _: self._free_slot())

    def _free_slot(self) -> None:
        if self._slot is not None:
            self._slot.release()

    def _child_gone(self, child: Child) -> None:
        """Free the slot of a process that is gone, even while this stream waits for its client.

        Before its run has begun, another sandbox may take the code, and the slot stays taken.
        """
        run = self._current
        if child is self._child and run is not None and run.begun:
            self._free_slot()

    async def _take_child(self, opening: pb.Open) -> Child:
        pool = await self._resources.pools.get(opening.profile or DEFAULT)
        # A child is made in milliseconds: even a stream that got its slot late has time for that.
        latest = max(self._deadline, asyncio.get_running_loop().time() + _MAKING_SECONDS)
        try:
            async with asyncio.timeout_at(latest):
                self._child = child = await pool.acquire()
        except TimeoutError:
            raise BusyError(
                "no sandbox could be made within the queue_timeout",
                self._resources.admission.advice(),
            ) from None
        child.exited.add_done_callback(lambda _: self._child_gone(child))
        child.frames.max_frame_bytes = self._limits.max_value_bytes
        child.frames.max_artifact_bytes = self._limits.max_artifact_bytes
        try:
            await open_sandbox(
                child,
                self._limits,
                cpu_seconds=self._cpu_limit(opening),
                threads_are_counted=pool.terms.sandbox.threads_are_counted,
                tools=opening.tools,
                tool_names=opening.tool_names,
                answers_lookups=opening.answers_lookups,
                session=opening.session,
            )
        except OSError as error:
            raise PoolUnavailableError(f"a sandbox cannot be limited: {error}") from error
        return child

    async def _serve_runs(self, opening: pb.Open) -> None:
        idle_timeout = self._seconds("idle_timeout", opening.idle_timeout)
        events = EventWriter(self._client, batches=opening.accepts_batches)
        child = await self._take_child(opening)
        attempts = 1
        fresh = True
        tool_calls = 0
        request = await self._next_run(child, idle_timeout)
        while request is not None:
            assert self._slot is not None
            self._slot.execution_id = request.execution_id
            terms = RunTerms(
                limits=self._limits,
                timeout=self._execution_timeout(request),
                cpu_limit=self._cpu_limit(opening),
                session=opening.session,
                fresh=fresh,
                tool_calls_before=tool_calls,
                isolation=self._resources.isolation,
                version=self._resources.version,
            )
            self._current = run = Run(request, terms, child=child, events=events)
            fresh = False
            try:
                await self._sign.stop()
                survived = await run.serve()
            except ChildLostError:
                child.close()
                if self._refusal is not None:
                    return
                # Nothing has run yet, so another sandbox may take the code.
                self._child = None
                if attempts == _TAKE_ATTEMPTS or run.run_id != opening.run.run_id:
                    raise PoolUnavailableError("the sandbox died before it took the code") from None
                attempts += 1
                fresh = True
                child = await self._take_child(opening)
                continue
            finally:
                self._current = None
                tool_calls = run.tool_calls
            if not survived or self._refusal is not None:
                self._client_may_write = run.left_calls
                return
            request = await self._next_run(child, idle_timeout)

    async def _next_run(self, child: Child, idle_timeout: float) -> pb.Run | None:
        """Return the next run to do; None when the session has ended."""
        if not self._runs.empty():
            return self._runs.get_nowait()
        wanted = asyncio.create_task(self._runs.get())
        leftovers = asyncio.create_task(_refuse_leftovers(child, self._limits))
        try:
            await asyncio.wait(
                (wanted, leftovers), timeout=idle_timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if wanted.done():
                return wanted.result()
            if leftovers.done():
                raise RequestRefusedError(
                    "the session's sandbox has died between two runs, or what a run left behind in "
                    f"it made more than max_tool_calls={self._limits.max_tool_calls} calls"
                )
            raise RequestRefusedError(
                f"the session was idle for longer than its idle_timeout of {idle_timeout:g} s"
            )
        finally:
            wanted.cancel()
            leftovers.cancel()
            await asyncio.gather(leftovers, return_exceptions=True)

    async def _read_client(self, *, session: bool) -> None:
        """Take the client's messages until it closes its side."""
        try:
            while (message := await self._messages.read()) is not EOF:
                await self._take_message(message, session=session)
        except (RequestRefusedError, LimitRefusedError) as error:
            self._refusal = error
            if self._child is not None:
                self._child.kill()
        await self._runs.put(None)

    async def _take_message(self, message: pb.ClientMessage, *, session: bool) -> None:
        match message.WhichOneof("message"):
            case "tool_result":
                await self._pass_result(message.tool_result)
            case "chunk":
                self._messages.keep_chunk(message.chunk)
            case "cancel_run":
                if self._current and self._current.run_id == message.cancel_run.run_id:
                    self._current.cancel()
            case "run" if session:
                await self._runs.put(self._checked_run(message.run, session=True))
            case "run" | "open":
                raise RequestRefusedError("this stream is open, and it is not a session's")
            case "replay_part":
                raise RequestRefusedError(
                    f"a part of a replay of run {message.replay_part.run_id} came, but no recorded "
                    "run waits for it"
                )
            case _:
                pass  # of a newer client

    async def _pass_result(self, result: pb.ToolResult) -> None:
        run = self._current
        value = self._messages.whole(result.value)
        if run is None or not run.answers(result.run_id, result.call_id):
            return  # the code no longer waits for it
        if result.WhichOneof("outcome") == "failure":
            failure = result.failure
            kind, body = Frame.TOOL_FAILURE, pack_texts(failure.kind, failure.type, failure.message)
        else:
            kind, body = Frame.TOOL_VALUE, value
        assert self._child is not None
        await self._child.frames.send_frame(kind, result.run_id, result.call_id, body)

    def _checked_run(self, run: pb.Run, *, session: bool) -> pb.Run:
        if session and run.HasField("replay"):
            raise RequestRefusedError(
                "a run of a session cannot be recorded, because it depends on the runs before it: "
                "record a run outside of a session"
            )
        if run.replay_parts and not run.HasField("replay"):
            raise RequestRefusedError(f"run {run.run_id} has replay_parts, but not a replay")
        run.inputs = self._messages.whole(run.inputs)
        if not run.execution_id:
            run.execution_id = uuid.uuid4().hex
        self._execution_timeout(run)
        return run

    def _cpu_limit(self, opening: pb.Open) -> float:
        """Return the sandbox's limit of CPU seconds: by default just above the wall clock's."""
        if self._limits.max_cpu_seconds is not None:
            return self._limits.max_cpu_seconds
        ceiling = self._resources.config.ceilings.max_cpu_seconds or _ENDLESS
        if opening.session:
            return ceiling
        return min(ceiling, self._execution_timeout(opening.run) + _SPARE_CPU_SECONDS)

    def _execution_timeout(self, run: pb.Run) -> float:
        return self._seconds("execution_timeout", run.execution_timeout)

    def _seconds(self, name: str, asked: float) -> float:
        """Return a duration of a request, or its default. Raises LimitRefusedError."""
        config = self._resources.config
        return resolve_seconds(
            name, asked, getattr(config.limits, name), getattr(config.ceilings, name)
        )


async def _refuse_leftovers(child: Child, limits: Limits) -> None:
    """Answer, between two runs, the calls of threads and tasks that a run left behind."""
    while frames := await child.frames.receive():
        for frame in frames:
            if not await refuse_stale_call(child, frame, limits):
                return
