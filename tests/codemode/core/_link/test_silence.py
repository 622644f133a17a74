"""A run goes elsewhere where an executor gives no sign of life, and nothing is done twice."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from codemode import ClientConfig, Codemode, ExecutionResult
from codemode.core._link import silence, sync_carrier
from codemode.core.events import ExecutionCompleted, ExecutionStarted
from codemode.protos import codemode_pb2 as pb
from codemode.values import encode
from codemode.wire.protobuf import FEATURES
from tests.support.hosts import needs_tier
from tests.support.processes import ExecutorProcess, free_port
from tests.support.scripted_executor import DONE, scripted

KEY = "a key of sixteen letters"
# gRPC itself gives a connection up after ten seconds.
WITHOUT_GRPC = 8.0

type RunCode = Callable[..., ExecutionResult]


@pytest.fixture(params=["sync", "async"])
def run_code(request: pytest.FixtureRequest) -> Iterator[RunCode]:
    """One half, whose runs share one channel."""
    if request.param == "sync":
        yield Codemode.run
        return
    with asyncio.Runner() as runner:
        yield lambda codemode, code, **options: runner.run(codemode.run_async(code, **options))


@contextlib.contextmanager
def executors(count: int, *options: str) -> Iterator[tuple[Codemode, list[ExecutorProcess]]]:
    """Yield executors with isolation, and a client of all of them."""
    needs_tier("C")
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                ExecutorProcess(
                    *("--tier", "C", *options),
                    listen=f"127.0.0.1:{free_port()}",
                    environment={"CODEMODE_EXECUTOR_API_KEY": KEY},
                )
            )
            for _ in range(count)
        ]
        url = "ipv4:" + ",".join(process.url for process in processes)
        config = ClientConfig(executor_url=url, executor_api_key=KEY)
        yield stack.enter_context(Codemode.from_client_config(config)), processes


@contextlib.contextmanager
def frozen(process: ExecutorProcess) -> Iterator[None]:
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def left(caplog: pytest.LogCaptureFixture) -> int:
    """Return how often new connections took the place of former ones."""
    return sum("does not answer" in record.message for record in caplog.records)


def test_a_frozen_executor_is_left_until_it_answers(
    run_code: RunCode, caplog: pytest.LogCaptureFixture
) -> None:
    marks: collections.Counter[str] = collections.Counter()

    def mark(name: str) -> None:
        marks[name] += 1

    with executors(2) as (codemode, (first, second)):
        codemode.registry.register_tool("mark", mark)

        def run(name: str) -> None:
            result = run_code(codemode, f"mark({name!r})")
            assert result.ok, result.error

        with caplog.at_level(logging.WARNING, "codemode.core"):
            for number in range(10):
                run(f"before {number}")
            with frozen(first):
                began = time.monotonic()
                for number in range(10):
                    run(f"frozen {number}")
                assert time.monotonic() - began < WITHOUT_GRPC
            assert left(caplog) == 1
            run("thawed")
        second.kill()
        run("first alone")
        assert set(marks.values()) == {1}
        assert len(marks) == 22


def test_runs_of_a_frozen_executor_leave_it_together(caplog: pytest.LogCaptureFixture) -> None:
    """Runs that have begun, on either executor, go on."""

    async def main() -> None:
        with executors(2) as (codemode, (first, _)):
            await asyncio.gather(*(codemode.run_async("1") for _ in range(10)))
            going_on = [
                aiter(codemode.stream("import time; time.sleep(3); 5", execution_timeout=60))
                for _ in range(2)
            ]
            for events in going_on:
                assert isinstance(await anext(events), ExecutionStarted)
            with frozen(first):
                results = await asyncio.gather(*(codemode.run_async("7") for _ in range(12)))
                assert [result.value for result in results] == [7] * 12
            assert left(caplog) == 1
            for events in going_on:
                (last,) = [event async for event in events]
                assert isinstance(last, ExecutionCompleted)
                assert last.result.value == 5

    asyncio.run(main())


def test_a_run_that_waits_for_a_sandbox_stays_in_the_queue(
    run_code: RunCode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take longer than the client gives it for the executor's sign.
    for half in (silence, sync_carrier):
        monkeypatch.setattr(half, "SILENCE_SECONDS", 3.0)
    with executors(1, "--max-concurrency", "1") as (codemode, _):
        assert run_code(codemode, "1").ok  # the client knows the executor
        events = iter(codemode.stream("import time; time.sleep(4)"))
        assert isinstance(next(events), ExecutionStarted)
        reader = threading.Thread(target=lambda: collections.deque(events, 0))
        reader.start()
        assert run_code(codemode, "2").value == 2
        reader.join()
    assert left(caplog) == 0


@pytest.mark.parametrize("features", [FEATURES, ("batches",)], ids=["announced", "not announced"])
def test_only_an_executor_that_gives_signs_of_life_is_left(
    run_code: RunCode, features: tuple[str, ...]
) -> None:
    """What comes on a stream that was left has no effect any more."""
    calls: list[str] = []
    streams: list[int] = []
    ended = threading.Event()

    def script(requests: Iterator[pb.ClientMessage]) -> Iterator[Any]:
        streams.append(len(streams))
        if len(streams) == 2:
            # Nothing comes for longer than a client with another executor waits.
            ended.wait(2.5)
            yield pb.ExecutorMessage(started=pb.Started(run_id=1, isolation="A"))
            arguments = encode({"name": "late"})
            call = pb.ToolCall(run_id=1, call_id=1, name="mark", arguments=arguments)
            yield pb.ExecutorMessage(tool_call=call)
            next(requests, None)
        else:
            started = pb.Started(run_id=1, isolation="A", features=features)
            yield pb.ExecutorMessage(started=started)
        yield DONE

    with scripted(script) as (codemode, _):
        codemode.registry.register_tool("mark", lambda name: calls.append(name))
        assert run_code(codemode, "5").value == 5
        assert run_code(codemode, "5").value == 5
        ended.set()
        assert run_code(codemode, "5").value == 5
    announced = features is FEATURES
    assert (len(streams), calls) == ((4, []) if announced else (3, ["late"]))
