"""Recorded runs beside plain ones, and replays, in the sync half."""

from __future__ import annotations

from collections.abc import Iterator

from codemode import Codemode, ExecutionResult, Recording
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.sampling import Pace, Subject, alternate
from tests.benchmarks.subjects import executor_pid, sync_codemode

__all__ = ["measure"]

_GROUP = "recorded"
_CALLS = 200
_REPLAYED = 1_000
_LOOP = "for number in range({}): add(a=number, b=1)"
_MOST_MORE_PER_CALL = Target(statistic="p50", most=0.05)
_MOST_REPLAY = Target(statistic="p50", most=30)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure what recording adds to a run and to a call, and a replay of 1,000 calls."""
    pace = Pace(samples=5 if quick else 30, block=5)
    with sync_codemode() as codemode:
        server = executor_pid(codemode)
        plain, recorded = (_subject(codemode, "1", kept, server) for kept in (False, True))
        calls, recorded_calls = (
            _subject(codemode, _LOOP.format(_CALLS), kept, server) for kept in (False, True)
        )
        first = Recording()
        code = _LOOP.format(_REPLAYED)
        _checked(codemode.run(code, recording=first))
        data = first.to_bytes()
        replay = Subject(
            call=lambda: _checked(codemode.run(code, recording=Recording.from_bytes(data))),
            server=server,
        )
        alternate((plain, recorded, calls, recorded_calls, replay), pace)
    yield _beside("trivial recorded run", recorded, "trivial run", plain)
    yield Figure(
        group=_GROUP,
        name=f"what a recorded call takes more (runs of {_CALLS}, divided)",
        unit="ms",
        series=Series.of(
            [
                (ours - theirs) * 1e3 / _CALLS
                for ours, theirs in zip(recorded_calls.samples, calls.samples, strict=True)
            ]
        ),
        floor=calls.series(scale=1e3 / _CALLS),
        floor_of="plain call",
        targets=(_MOST_MORE_PER_CALL,),
        client_cpu_ms=(recorded_calls.client_cpu_ms - calls.client_cpu_ms) / _CALLS,
        executor_cpu_ms=(recorded_calls.server_cpu_ms - calls.server_cpu_ms) / _CALLS,
    )
    yield _beside(
        f"replay of {_REPLAYED:,} calls, from bytes", replay, "trivial run", plain, _MOST_REPLAY
    )


def _subject(codemode: Codemode, code: str, recorded: bool, server: int) -> Subject[object]:
    def call() -> object:
        return _checked(codemode.run(code, recording=Recording() if recorded else None))

    return Subject(call=call, server=server)


def _checked(result: ExecutionResult) -> ExecutionResult:
    assert result.ok, result
    return result


def _beside(
    name: str, ours: Subject[object], floor_of: str, floor: Subject[object], *targets: Target
) -> Figure:
    return Figure(
        group=_GROUP,
        name=name,
        unit="ms",
        series=ours.series(),
        floor=floor.series(),
        floor_of=floor_of,
        targets=targets,
        client_cpu_ms=ours.client_cpu_ms,
        executor_cpu_ms=ours.server_cpu_ms,
    )
