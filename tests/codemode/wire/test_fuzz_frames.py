"""Mutated frames, in great number, against the parsers that read hostile bytes.

The mutator is seeded, so each failure can be repeated by its seed. The short form always runs, the
long one with ``-m deep``: a million frames of a sandbox, and fewer of those that only its executor
and its client pass on.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil
import pytest
from google.protobuf.message import DecodeError

from codemode import Limits
from codemode.core._dispatch.dispatcher import Dispatcher
from codemode.core._link.transcript import Transcript
from codemode.core.registry import ComponentRegistry
from codemode.errors import ExecutorProtocolError, ValueDecodingError
from codemode.executor.pool.children import Child, Exit
from codemode.executor.pool.frame_stream import FrameStream, ReceivedFrame
from codemode.executor.streams.event_writer import EventWriter
from codemode.executor.streams.run import ChildLostError, Run, RunTerms
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode, encode
from codemode.wire.frames import PROGRESS, Frame, pack, pack_texts
from tests.support.puppets import MAX_VALUE, RUN, Hearer
from tests.support.value_strategies import identity

FEW, MANY, MILLION = 20_000, 200_000, 1_000_000
LONGEST_SECONDS = 5.0
GROWTH_BYTES = 24 * 1024 * 1024


def counts(most: int) -> pytest.MarkDecorator:
    marks = [pytest.mark.deep, pytest.mark.timeout(3600)]
    return pytest.mark.parametrize("count", [FEW, pytest.param(most, marks=marks)])


VALUES: tuple[Any, ...] = (
    None,
    True,
    -(2**70),
    1.5,
    "text",
    b"bytes",
    [1, [2, [3, [4]]]],
    {"a": 1, 2: {"b": {3.5}}},
    list(range(60)),
    {str(number): number for number in range(30)},
)
ENCODED = [encode(value) for value in VALUES]
LABELS = ("0:1", "0.1.T2:17", "l" * 200, "")
STEPS = ("0:1@5\n", "0:1@5\n0.1:2@90000\n" * 40, "", "0:1")
REASONS = ("call", "new_call", "missing", "beyond", "output")


class Mutator:
    """A mutator that breaks bytes as a hostile sandbox might, and in some unlikely ways."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.recorded = False

    def frames(self) -> list[bytes]:
        """Return frames that a child may send, in an order that is possible."""
        rng = self.random
        made = [pack(Frame.TAKEN, RUN, 0)] if rng.random() < 0.9 else []
        self.recorded = rng.random() < 0.5
        made += [self._frame() for _ in range(rng.randrange(24))]
        if rng.random() < 0.7:
            made.append(pack(Frame.COMPLETED, RUN, 0, rng.choice(ENCODED)))
        return [self.broken(one) if rng.random() < 0.2 else one for one in made]

    def _frame(self) -> bytes:
        rng = self.random
        number = rng.choice((0, 1, 2, 3, rng.randrange(2**32)))
        run = RUN if rng.random() < 0.9 else rng.choice((0, 1, RUN - 1, RUN + 1, 2**32 - 1))
        if self.recorded and rng.random() < 0.5:
            kind, body = self._record()
            return pack(kind, run, number, body)
        match rng.randrange(9):
            case 0 | 1 if not self.recorded or rng.random() < 0.1:
                kind, body = Frame.CALL, pack_texts("ping") + rng.choice(ENCODED)
            case 2:
                kind, body = Frame.CANCEL_CALL, b""
            case 3:
                kind, body = Frame.STDOUT, rng.randbytes(rng.randrange(300))
            case 4:
                kind, body = Frame.STDERR, b"text \xf0\x9f\x90\x8d" * rng.randrange(9)
            case 5:
                amount = rng.choice((0.0, 1.0, float("nan"), float("inf"), -1e308))
                kind, body = Frame.PROGRESS, PROGRESS.pack(amount, 2.0) + pack_texts("note")
            case 6:
                kind, body = Frame.FAILED, pack_texts("ValueError", "no", "3", "Traceback")
            case 7:
                kind, body = Frame.ARTIFACT, pack_texts("a.png") + rng.randbytes(rng.randrange(99))
            case _:
                kind = rng.choice(list(Frame))
                body = rng.randbytes(rng.randrange(40))
        return pack(kind, run, number, body)

    def _record(self) -> tuple[Frame, bytes]:
        """Return a frame that only a recorded run has."""
        rng = self.random
        label = rng.choice(LABELS)
        match rng.randrange(8):
            case 0 | 1 | 2 | 3:
                texts = pack_texts("ping", label or "0", rng.choice(STEPS[:3]))
                return Frame.RECORDED_CALL, texts + rng.choice(ENCODED)
            case 4 | 5 | 6:
                return Frame.STEPS, rng.choice(STEPS).encode()
            case _:
                texts = pack_texts(rng.choice(REASONS), label, "ping", rng.choice(LABELS), "3")
                return Frame.DIVERGED, texts + rng.choice(ENCODED)

    def broken(self, data: bytes) -> bytes:
        """Return the bytes with one to three errors."""
        rng = self.random
        broken = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(broken) + 1)
            match rng.randrange(8):
                case 0 | 1 if at < len(broken):
                    broken[at] ^= 1 << rng.randrange(8)
                case 2 if at < len(broken):
                    broken[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 3:
                    broken[at:at] = rng.randbytes(rng.randrange(9))
                case 4:
                    del broken[at : at + rng.randrange(9)]
                case 5:
                    broken[at:] = b""
                case 6 if len(broken) > 8:
                    place = rng.randrange(len(broken) - 4)
                    number = rng.choice((0, 1, 8, 9, 10, 255, 65_536, 2**31, 2**32 - 1))
                    struct.pack_into("!I", broken, place, number)
                case _:
                    broken += broken[at : at + 64]
        return bytes(broken)

    def pieces(self, data: bytes) -> Iterable[bytes]:
        """Return the data as a socket might deliver it: in one piece, or cut anywhere."""
        rng = self.random
        if rng.random() < 0.6:
            yield data
            return
        while data:
            cut = rng.choice((1, 3, 12, 13, 14, 200, len(data)))
            yield data[:cut]
            data = data[cut:]


class Wire(asyncio.Transport):
    """A socket that has only our end."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = False
        self.written = 0

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: Any) -> None:
        self.written += len(data)

    def abort(self) -> None:
        self._closing = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class FuzzedStream(FrameStream):
    """A frame stream that counts the frames that it examines."""

    def __init__(self) -> None:
        super().__init__(MAX_VALUE, lambda: None)
        self.met = 0
        self.connection_made(Wire())

    def _take(self, frame: ReceivedFrame) -> None:
        self.met += 1
        super()._take(frame)

    def _violate(self, what: str) -> None:
        self.met += 1
        super()._violate(what)


class FuzzedChild(Child):
    """A child without a process: killing it ends it at once."""

    def __init__(self) -> None:
        super().__init__(1, MAX_VALUE)
        self.frames: FuzzedStream = FuzzedStream()

    def kill(self) -> None:
        self.set_exited(Exit(status=9, cpu_seconds=0.0, max_rss_bytes=0))
        asyncio.get_running_loop().call_soon(self.frames.eof_received)


class Answering(Hearer):
    """A client that answers each call at a random time."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.run: Run | None = None
        self._random = rng

    async def write(self, message: pb.ExecutorMessage) -> None:
        await super().write(message)
        message.SerializeToString()
        assert self.run is not None
        if self._random.random() < 0.1:
            await asyncio.sleep(0)
        if message.WhichOneof("message") == "tool_call":
            call = message.tool_call
            answered = self.run.answers(call.run_id, call.call_id)
            assert answered, "the code waits for this call, and for no other"
            assert not self.run.answers(call.run_id, call.call_id)


async def one_stream(mutator: Mutator) -> int:
    """Let a child send one mutated stream; return how many of its frames were examined."""
    frames = mutator.frames()
    child = FuzzedChild()
    hearer = Answering(mutator.random)
    limits = Limits(
        max_tool_calls_in_flight=mutator.random.choice((1, 3, 100)),
        max_tool_calls=mutator.random.choice((2, 10_000)),
        max_output_bytes=mutator.random.choice((10, 1_000_000)),
        max_value_bytes=mutator.random.choice((300, MAX_VALUE)),
        max_artifacts=mutator.random.choice((1, 100)),
        max_artifact_bytes=mutator.random.choice((50, 1_000_000)),
    )
    hearer.run = run = Run(
        pb.Run(run_id=RUN, code="1", execution_id="e", replay=b"" if mutator.recorded else None),
        RunTerms(limits=limits, timeout=60, cpu_limit=60, session=True),
        child=child,
        events=EventWriter(hearer, batches=False),
    )
    serving = asyncio.ensure_future(run.serve())
    for piece in mutator.pieces(b"".join(frames)):
        if child.frames.violation is not None or child.frames._ended:
            break  # a closed socket delivers nothing more
        child.frames.data_received(piece)
        if mutator.random.random() < 0.3:
            await asyncio.sleep(0)
    if not child.frames._ended:
        child.frames.eof_received()
    child.set_exited(Exit(status=9, cpu_seconds=0.0, max_rss_bytes=0))
    try:
        survived: bool | None = await serving
    except ChildLostError:
        survived = None
    ends = [kind for kind in hearer.kinds if kind in ("completed", "failed")]
    assert len(ends) == (0 if survived is None else 1)
    assert not ends or hearer.kinds[-1] == ends[0]
    if set(hearer.kinds) & {"artifact", "tool_call", "completed", "progress", "steps"}:
        assert "started" in hearer.kinds
    for message in hearer.messages:
        if message.WhichOneof("message") == "tool_call":
            assert bool(message.tool_call.label) is mutator.recorded
    steps = steps_of(hearer.messages)
    assert mutator.recorded or not steps
    assert all(one.isascii() and one.endswith(b"\n") for one in steps)
    assert sum(map(len, steps)) <= limits.max_value_bytes
    assert hearer.kinds.count("started") <= 1
    child.close()
    return child.frames.met


def steps_of(messages: list[pb.ExecutorMessage]) -> list[bytes]:
    pieces = [message.steps.data or message.tool_call.steps for message in messages]
    return [piece for piece in pieces if piece]


def resident() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def repeat(count: int, one: Callable[[int], int]) -> None:
    """Call with successive seeds until so many frames have passed; check time and memory."""
    done = seed = 0
    base = 0
    while done < count:
        began = time.process_time()
        done += one(seed)
        took = time.process_time() - began
        assert took < LONGEST_SECONDS, f"seed {seed} took {took:.1f} s of CPU"
        seed += 1
        if not base and done > count // 10:
            base = resident()
    assert resident() - base < GROWTH_BYTES


@counts(MILLION)
def test_mutated_frames_end_their_run_and_nothing_else(count: int) -> None:
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        repeat(count, lambda seed: runner.run(one_stream(Mutator(seed))))
    assert complaints == []


def mutated_message(mutator: Mutator) -> bytes:
    """Return an executor's message whose text comes from a sandbox, with an error in it."""
    rng = mutator.random
    value = mutator.broken(rng.choice(ENCODED))
    match rng.randrange(9):
        case 0:
            message = pb.ExecutorMessage(completed=pb.Completed(run_id=RUN, value=value))
        case 1:
            message = pb.ExecutorMessage(
                failed=pb.Failed(run_id=RUN, status="failed", type="E", message="m", line=3)
            )
        case 2:
            message = pb.ExecutorMessage(
                tool_call=pb.ToolCall(run_id=RUN, call_id=1, name="ping", arguments=value)
            )
        case 3:
            message = pb.ExecutorMessage(
                output=pb.Output(run_id=RUN, stream="STREAM_STDOUT", text="text")
            )
        case 4:
            message = pb.ExecutorMessage(chunk=pb.Chunk(data=value))
        case 5:
            message = pb.ExecutorMessage(artifact=pb.Artifact(run_id=RUN, name="a", data=value))
        case 6:
            call = pb.ToolCall(run_id=RUN, call_id=1, name="ping", arguments=value)
            call.label, call.steps = rng.choice(LABELS), rng.choice(STEPS).encode()
            message = pb.ExecutorMessage(tool_call=call)
        case 7:
            divergence = pb.Divergence(reason=rng.choice(REASONS), label="0:1", arguments=value)
            message = pb.ExecutorMessage(
                failed=pb.Failed(run_id=RUN, status="diverged", divergence=divergence)
            )
        case _:
            message = pb.ExecutorMessage(progress=pb.Progress(run_id=RUN, done=1, note="n"))
    data = message.SerializeToString()
    return mutator.broken(data) if rng.random() < 0.5 else data


def ping(value: int = 0) -> int:
    """Return the value."""
    return value


@pytest.fixture(scope="module")
def registry() -> ComponentRegistry:
    registry = ComponentRegistry()
    registry.register_tool("ping", ping)
    return registry


def client_side(registry: ComponentRegistry, seed: int) -> int:
    """Let a client receive mutated messages of one run; return how many."""
    mutator = Mutator(seed)
    dispatcher = Dispatcher(
        registry=registry,
        tools=registry.tools,
        execution_id="e",
        max_calls=10,
        max_value_bytes=MAX_VALUE,
        deadline=time.monotonic() + 60,
        captured=contextvars.copy_context(),
        runtime_context=None,
    )
    transcript = Transcript(
        execution_id="e",
        code="1",
        execution_timeout=60,
        dispatcher=dispatcher,
        limits=Limits(max_value_bytes=MAX_VALUE, max_output_bytes=MAX_VALUE),
    )
    heard = 0
    for _ in range(mutator.random.randrange(1, 24)):
        heard += 1
        try:
            message = pb.ExecutorMessage.FromString(mutated_message(mutator))
        except DecodeError:
            continue  # gRPC ends the stream
        try:
            hear(transcript, dispatcher, message)
        except ExecutorProtocolError:
            break
    transcript.partial()
    dispatcher.records()
    return heard


def hear(transcript: Transcript, dispatcher: Dispatcher, message: pb.ExecutorMessage) -> None:
    match message.WhichOneof("message"):
        case "completed":
            transcript.complete(message.completed)
        case "failed":
            transcript.fail(message.failed)
        case "tool_call":
            sent = message.tool_call
            call = dispatcher.begin(
                sent.call_id, sent.name, transcript.chunks.whole(sent.arguments)
            )
            outcome = dispatcher.call_sync(call)
            assert (outcome.failure is None) or outcome.failure.message
        case _:
            transcript.event(message)


@counts(MANY)
def test_mutated_messages_confuse_no_client(count: int, registry: ComponentRegistry) -> None:
    repeat(count, lambda seed: client_side(registry, seed))


def decode_many(seed: int) -> int:
    """Decode a handful of broken values; return how many."""
    mutator = Mutator(seed)
    for _ in range(50):
        data = mutator.broken(mutator.random.choice(ENCODED))
        try:
            value = decode(data)
        except ValueDecodingError:
            continue
        # A broken value that decodes is a value like any other.
        assert identity(decode(encode(value))) == identity(value)
    return 50


@counts(MANY)
def test_mutated_values_are_refused_or_values(count: int) -> None:
    repeat(count, decode_many)
