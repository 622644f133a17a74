"""One caller's flood delays nobody else by more than one sandbox, and fills no memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import psutil
import pytest

from codemode import ClientConfig, Codemode, ExecutorBusyError
from codemode.config import CEILINGS
from codemode.executor.serving.command import _config, build_parser
from codemode.executor.streams import execute_stream as executor_stream
from codemode.protos import codemode_pb2 as pb
from tests.support.callers import Callers, tenant_of
from tests.support.processes import ExecutorProcess, wait_until
from tests.support.raw_streams import RawStream, opening
from tests.support.serving import serving

MIB = 1024 * 1024
FLOOD = 1000


def configuration(process: ExecutorProcess) -> ClientConfig:
    return ClientConfig.parse({"executor_url": process.url, "limits": {"queue_timeout": 100}})


@pytest.fixture
async def flooded() -> AsyncIterator[Callers]:
    """Yield an executor whose single sandbox is taken, and whose queue holds 1,000."""
    with ExecutorProcess("--max-concurrency", "1", "--pool-size", "1") as process:
        config = configuration(process)
        async with Codemode.from_client_config(config, fairness_key=tenant_of) as codemode:
            callers = Callers(codemode)
            holder = callers.start("flood", code="await gate()")
            await callers.gate.holds(1)
            yield callers
            callers.gate.open()
            await asyncio.gather(*holder)


async def test_a_thousand_queued_executions_do_not_starve_anothers_single_one(
    flooded: Callers,
) -> None:
    flood = flooded.start("flood", count=FLOOD + 10)
    async with asyncio.timeout(100):
        while flooded.busy["flood"] < 10:  # the queue is full
            await asyncio.sleep(0.01)
    single = flooded.start("single")
    async with asyncio.timeout(100):
        while flooded.busy["flood"] < 11:  # one has made room
            await asyncio.sleep(0.01)
    flooded.gate.open()
    await asyncio.gather(*single)
    ahead = flooded.order[: flooded.order.index("single")]
    # The execution that held the sandbox and the one whose turn was next. A third may have ended
    # before this task noticed.
    assert len(ahead) <= 4, len(ahead)
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert flooded.busy == {"flood": 11}


async def test_a_tenants_share_of_sandboxes_leaves_the_others_free() -> None:
    options = ("--max-concurrency", "3", "--max-concurrency-per-key", "2")
    with ExecutorProcess(*options) as process:
        config = configuration(process)
        async with Codemode.from_client_config(config, fairness_key=tenant_of) as codemode:
            callers = Callers(codemode)
            greedy = callers.start("greedy", count=5, code="await gate()")
            await callers.gate.holds(2)
            for _ in range(5):
                await asyncio.wait_for(callers.execute("modest"), 60)
            assert callers.gate.held == 2
            callers.gate.open()
            await asyncio.gather(*greedy)
            assert callers.order == ["modest"] * 5 + ["greedy"] * 5


async def test_what_waits_is_bounded_in_bytes() -> None:
    ceilings = CEILINGS.model_copy(update={"max_value_bytes": 16 * MIB})
    async with (
        serving(max_concurrency=1, max_queued_bytes=16 * MIB, ceilings=ceilings) as (plain, server),
        Codemode.from_client_config(
            ClientConfig(executor_url=plain.client.url), fairness_key=tenant_of
        ) as codemode,
    ):
        callers = Callers(codemode)
        assert server.service is not None
        admission = server.service.admission
        tasks = callers.start("flood", code="await gate()")
        await callers.gate.holds(1)
        large = {"data": b"x" * (6 * MIB)}
        for number in range(20):
            tasks += callers.start("flood", code="len(data)", inputs=large)
            async with asyncio.timeout(100):
                while callers.busy["flood"] + admission.queued <= number:
                    await asyncio.sleep(0.001)
            assert admission.queued_bytes + admission.arriving_bytes <= 16 * MIB
        assert (admission.queued, callers.busy["flood"]) == (2, 18)
        tasks += callers.start("single", code="len(data)", inputs=large)
        async with asyncio.timeout(100):
            while callers.busy["flood"] < 19:  # one has made room
                await asyncio.sleep(0.001)
        callers.gate.open()
        await asyncio.gather(*tasks)
        assert Counter(callers.order) == {"flood": 2, "single": 1}
        assert (admission.queued_bytes, admission.arriving_bytes) == (0, 0)


@pytest.mark.parametrize("half", ["sync", "async"])
async def test_inputs_that_come_in_parts_are_refused_as_busy(half: str) -> None:
    async with serving(max_concurrency=1) as (codemode, server):
        assert server.service is not None
        with server.service.admission.arrival() as arrived:
            arrived(255 * MIB)
            inputs = {"data": b"x" * (12 * MIB)}
            with pytest.raises(ExecutorBusyError, match="are arriving at once") as caught:
                if half == "async":
                    await codemode.run_async("1", inputs=inputs)
                else:
                    await asyncio.to_thread(codemode.run, "1", inputs=inputs)
            assert caught.value.retry_after > 0
            # Inputs that arrive in one piece need no such room.
            assert await codemode.execute_async("1", inputs={"data": b"x"}) == "1"
        assert await codemode.execute_async("len(data)", inputs=inputs) == str(12 * MIB)
        assert server.service.admission.arriving_bytes == 0


async def test_a_refusal_waits_until_the_client_has_sent_its_opening() -> None:
    # gRPC reports to a writer only that its stream has ended, and not why.
    async with (
        serving() as (codemode, server),
        grpc.aio.insecure_channel(codemode.client.url) as raw,
    ):
        assert server.service is not None
        with server.service.admission.arrival() as arrived:
            arrived(256 * MIB)
            stream = RawStream(raw)
            for _ in range(3):
                await stream.send(chunk=pb.Chunk(data=b"x" * MIB))
                await asyncio.sleep(0.05)
            assert not stream.call.done()
            await stream.send(open=opening())
            code, details = await stream.refusal()
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details.startswith("busy: ")


@pytest.mark.deep
async def test_an_executor_gives_back_the_memory_of_a_flood() -> None:
    def resident() -> int:
        return psutil.Process(process.pid).memory_info().rss

    async def insist(callers: Callers) -> None:
        while len(callers.order) < 600:
            await callers.execute("flood", inputs={"data": bytes(MIB)})

    with ExecutorProcess("--max-queued-bytes", str(CEILINGS.max_value_bytes)) as process:
        async with Codemode.from_client_config(configuration(process)) as codemode:
            callers = Callers(codemode)
            await callers.execute("single")
            before = highest = resident()
            tasks = [asyncio.create_task(insist(callers)) for _ in range(100)]
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0.05)
                highest = max(highest, resident())
            await asyncio.gather(*tasks)
        assert highest - before > 96 * MIB, "too little to tell"
        assert await asyncio.to_thread(wait_until, lambda: resident() - before < 96 * MIB, 60), (
            f"{(resident() - before) // MIB} of {(highest - before) // MIB} MiB are left"
        )


async def test_a_stream_that_does_not_open_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_stream, "_OPENING_SECONDS", 2.0)
    async with serving(max_concurrency=1) as (codemode, server):
        assert await codemode.execute_async("1") == "1"
        async with grpc.aio.insecure_channel(server.addresses[0]) as raw:
            stream = RawStream(raw)
            await stream.send(chunk=pb.Chunk(data=b"x" * 100))
            code, details = await stream.refusal()
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "no `open` came within 2 s" in details
            stream = RawStream(raw)
            await stream.send(open=opening("import time\ntime.sleep(2.5)"))
            assert len(await stream.rest()) == 2
        assert server.service is not None
        assert server.service.admission.arriving_bytes == 0


@pytest.mark.parametrize(
    "name", ["max_concurrency", "max_concurrency_per_key", "max_queued", "max_queued_bytes"]
)
async def test_bounds_are_set_by_option_and_variable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    number = 99 * MIB
    arguments = [f"--{name.replace('_', '-')}", str(number)]
    assert getattr(_config(build_parser().parse_args(arguments)), name) == number
    monkeypatch.setenv(f"CODEMODE_EXECUTOR_{name.upper()}", str(number + 1))
    assert getattr(_config(build_parser().parse_args([])), name) == number + 1
    assert getattr(_config(build_parser().parse_args(arguments)), name) == number


async def test_the_bounds_of_the_configuration_are_those_of_the_queue() -> None:
    async with serving(
        max_concurrency=5, max_concurrency_per_key=4, max_queued=3, max_queued_bytes=65 * MIB
    ) as (_, server):
        assert server.service is not None
        seen = server.service.admission
        assert (seen.slots, seen.slots_per_key, seen.max_queued) == (5, 4, 3)
        assert seen.max_queued_bytes == 65 * MIB
