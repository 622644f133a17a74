"""A scripted sandbox that makes the calls of a plan, and keeps to the contract of recorded runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from codemode import Codemode
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode, encode
from codemode.wire.protobuf import FEATURES
from tests.support.scripted_executor import FakeExecutor, scripted

__all__ = ["Call", "Guest", "Print", "planned"]

_BY_HOST, _OPEN = 0, 6
_SENT = (_BY_HOST, _OPEN)  # the kinds of recorded calls that a sandbox sends


@dataclass(frozen=True)
class Call:
    """A call of the plan; it is sent even if it is on record where ``insist`` is set."""

    label: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    steps: bytes = b""
    insist: bool = False
    wait: bool = True


@dataclass(frozen=True)
class Print:
    """Output of the plan."""

    text: str
    stream: Any = pb.Output.STREAM_STDOUT


@dataclass
class Guest:
    """What the scripted sandbox has got, and how it presents itself."""

    features: tuple[str, ...] = FEATURES
    python: str = "3.13"
    replays: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    openings: list[pb.Open] = field(default_factory=list)


@contextlib.contextmanager
def planned(*plans: Sequence[Any], guest: Guest | None = None) -> Iterator[tuple[Codemode, Guest]]:
    """Serve one plan for each run, in their order; the last one again and again.

    A plan has calls, output, and messages that are sent as they are. Its run
    completes with 5 unless it has an end of its own.
    """
    seen = guest or Guest()
    fakes: list[FakeExecutor] = []
    left = list(plans)

    def script(requests: Iterator[pb.ClientMessage]) -> Iterator[pb.ExecutorMessage]:
        opening = fakes[0].openings[-1]
        seen.openings.append(opening)
        plan = left.pop(0) if len(left) > 1 else left[0]
        known = _known(opening.run, requests, seen)
        yield pb.ExecutorMessage(
            started=pb.Started(
                run_id=1, isolation="A", features=seen.features, python_version=seen.python
            )
        )
        number = 0
        for item in plan:
            match item:
                case Call():
                    if known.get(item.label, _BY_HOST) not in _SENT and not item.insist:
                        continue
                    number += 1
                    yield _message(item, number)
                    if item.wait:
                        seen.answers.append(_answer(requests, seen))
                case Print():
                    yield pb.ExecutorMessage(
                        output=pb.Output(run_id=1, stream=item.stream, text=item.text)
                    )
                case pb.ExecutorMessage():
                    yield item
                case _:
                    item(requests)
        yield pb.ExecutorMessage(completed=pb.Completed(run_id=1, value=encode(5)))

    with scripted(script) as (codemode, fake):
        fakes.append(fake)
        yield codemode, seen


def _known(run: pb.Run, requests: Iterator[pb.ClientMessage], seen: Guest) -> dict[str, int]:
    if not run.HasField("replay"):
        return {}
    data = run.replay + b"".join(next(requests).replay_part.data for _ in range(run.replay_parts))
    replay = decode(data)
    seen.replays.append(replay)
    seen.sizes.append(len(data))
    return {label: kind for label, _, _, kind, _ in replay["calls"]}


def _message(call: Call, number: int) -> pb.ExecutorMessage:
    return pb.ExecutorMessage(
        tool_call=pb.ToolCall(
            run_id=1,
            call_id=number,
            name=call.name,
            arguments=encode(call.arguments),
            label=call.label,
            steps=call.steps,
        )
    )


def _answer(requests: Iterator[pb.ClientMessage], seen: Guest) -> Any:
    data = b""
    for message in requests:
        if message.WhichOneof("message") == "chunk":
            data += message.chunk.data
            continue
        result = message.tool_result
        if result.WhichOneof("outcome") == "failure":
            return result.failure
        return decode(data + result.value)
    return None
