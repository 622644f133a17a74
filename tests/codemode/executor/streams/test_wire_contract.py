"""The executor keeps the wire contract with any client, even a newer or a hostile one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from codemode import Codemode, __version__
from codemode.executor.serving import server as executor_server
from codemode.protos import codemode_pb2 as pb
from codemode.protos import codemode_pb2_grpc
from codemode.values import decode, encode
from codemode.wire.protobuf import unbatched
from tests.support.processes import ExecutorProcess
from tests.support.raw_streams import RawStream, opening
from tests.support.serving import serving

# Field 1000, length-delimited: part of no message of this release.
UNKNOWN_FIELD = b"\xc2\x3e\x03new"
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@pytest.fixture
async def channel(executor: ExecutorProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(executor.url) as channel:
        yield channel


async def test_smallest_exchange(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening())
    started, completed = await stream.rest()
    assert started.started.run_id == 1
    assert started.started.protocol_version == 1
    assert started.started.executor_version == __version__
    assert started.started.isolation
    assert started.started.execution_id
    assert decode(completed.completed.value, max_bytes=100) == 2
    assert completed.completed.usage.wall_seconds > 0


async def test_an_older_client_is_not_asked_to_search(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    spec = pb.ToolSpec(name="ping.send", signature="ping.send()", description="Send a ping.")
    await stream.send(
        open=opening("[one.name for one in tools.search('send pings')]", tools=[spec])
    )
    _, completed = await stream.rest()
    assert decode(completed.completed.value, max_bytes=100) == ["ping.send"]


async def test_the_sandbox_asks_for_what_it_got_by_name_alone(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(
        open=opening("ping.send(1)", tool_names="ping.send\n\nping.hide", answers_lookups=True)
    )
    await stream.read()
    question = (await stream.read()).tool_call
    assert question.name == "tools.describe"
    assert decode(question.arguments, max_bytes=100) == {"names": ["ping.send"]}
    spec = {"name": "ping.send", "positional_parameters": ["to"], "signature": "ping.send(to)"}
    answer = encode([{**spec, "of a newer client": 1}])
    await stream.send(tool_result=pb.ToolResult(run_id=1, call_id=question.call_id, value=answer))
    call = (await stream.read()).tool_call
    await stream.send(tool_result=pb.ToolResult(run_id=1, call_id=call.call_id, value=encode(5)))
    completed = (await stream.read()).completed
    assert call.name == "ping.send"
    assert completed.usage.tool_calls == 1


async def test_names_of_tools_are_limited(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening(tool_names="x" * 2**20 + "x"))
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "1048577 characters of tool names" in details


async def test_unknown_fields_and_messages_are_ignored(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel, extra=UNKNOWN_FIELD)
    await stream.send(
        open=opening("ping()", session=True, tools=[pb.ToolSpec(name="ping", signature="ping()")])
    )
    await stream.send()  # a message of an unknown kind
    assert (await stream.read()).WhichOneof("message") == "started"
    call = (await stream.read()).tool_call
    await stream.send()
    await stream.send(tool_result=pb.ToolResult(run_id=1, call_id=call.call_id, value=encode(5)))
    assert decode((await stream.read()).completed.value, max_bytes=100) == 5
    await stream.call.done_writing()
    assert await stream.rest() == []


@pytest.mark.parametrize("version", [0, 2, 99])
async def test_other_protocol_version_is_refused(channel: grpc.aio.Channel, version: int) -> None:
    stream = RawStream(channel)
    message = opening()
    message.protocol_version = version
    await stream.send(open=message)
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert f"protocol_version {version}" in details
    assert "same release" in details


@pytest.mark.parametrize(
    "first",
    [
        {"run": pb.Run(run_id=1, code="1")},
        {"cancel_run": pb.CancelRun(run_id=1)},
        {"tool_result": pb.ToolResult(run_id=1, call_id=1)},
        {},
    ],
)
async def test_first_message_must_be_open(channel: grpc.aio.Channel, first: Any) -> None:
    stream = RawStream(channel)
    await stream.send(**first)
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "must be `open`" in details


@pytest.mark.parametrize(
    "tools, complaint",
    [
        ([pb.ToolSpec()] * 10_001, "10001 tools"),
        ([pb.ToolSpec(positional_parameters=["x"] * 50_001)] * 2, "100002 parameters"),
    ],
)
async def test_more_tools_than_a_sandbox_can_receive_in_time_are_refused(
    channel: grpc.aio.Channel, tools: list[pb.ToolSpec], complaint: str
) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening(tools=tools))
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert complaint in details


async def test_ten_thousand_tools_are_offered(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    tools = [pb.ToolSpec(name=f"tool_{number}") for number in range(10_000)]
    await stream.send(open=opening("len(tools)", tools=tools))
    messages = await stream.rest()
    assert decode(messages[-1].completed.value, max_bytes=100) == 10_000


class Garbage:
    def SerializeToString(self) -> bytes:  # noqa: N802  # as messages have it
        return b"\xff\xff\xff"


@pytest.mark.parametrize("begun", [False, True])
async def test_bytes_that_are_not_a_message_are_refused(
    channel: grpc.aio.Channel, begun: bool
) -> None:
    stream = RawStream(channel)
    if begun:
        await stream.send(open=opening(session=True, idle_timeout=100))
        await stream.read()
        assert (await stream.read()).WhichOneof("message") == "completed"
    await stream.call.write(Garbage())
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "not a message of the wire contract" in details


@pytest.mark.parametrize("count, refused", [(1_000, False), (1_001, True)])
async def test_batches_are_bounded(channel: grpc.aio.Channel, count: int, refused: bool) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening(session=True, idle_timeout=100))
    await stream.read()
    assert (await stream.read()).WhichOneof("message") == "completed"
    await stream.send(batch=pb.ClientBatch(messages=[pb.ClientMessage()] * count))
    await stream.call.done_writing()
    if refused:
        assert "a batch has 1001 messages" in (await stream.refusal())[1]
    else:
        assert await stream.rest() == []


async def test_stream_without_a_message_is_refused(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.call.done_writing()
    assert (await stream.refusal())[0] is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "second", [{"open": opening()}, {"run": pb.Run(run_id=2, code="print('second')")}]
)
async def test_second_opening_is_refused(channel: grpc.aio.Channel, second: Any) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening("import time\ntime.sleep(60)"))
    assert (await stream.read()).WhichOneof("message") == "started"
    await stream.send(**second)
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "not a session" in details


async def test_one_shot_without_a_run_is_refused(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening(run=False))
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "must carry its `run`" in details


async def test_unknown_profile_is_refused_by_name(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening(profile="nowhere"))
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "'nowhere'" in details
    assert "default" in details


@pytest.mark.parametrize("seconds", [601, -1, float("nan"), float("inf")])
async def test_invalid_timeout_is_refused(channel: grpc.aio.Channel, seconds: float) -> None:
    stream = RawStream(channel)
    message = opening()
    message.run.execution_timeout = seconds
    await stream.send(open=message)
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "execution_timeout" in details


async def test_later_run_above_a_limit_is_refused(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening("1", session=True))
    await stream.read()
    await stream.read()
    await stream.send(run=pb.Run(run_id=2, code="1", execution_timeout=601))
    code, details = await stream.refusal()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "execution_timeout" in details


async def test_code_above_its_limit_is_reported(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening("1" * 300_000))
    (failed,) = await stream.rest()
    assert (failed.failed.status, failed.failed.type) == ("limit", "CodeSizeLimit")


async def test_value_above_the_ceiling_is_refused(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    chunk = pb.Chunk(data=bytes(1024 * 1024))

    async def flood() -> None:
        for _ in range(70):
            await stream.send(chunk=chunk)
        await stream.rest()

    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
        await flood()
    # A write that meets the end of the stream hides the status of the executor's refusal.
    assert await stream.call.code() in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.INTERNAL,
    )


async def test_inputs_that_are_not_values_fail_the_run_alone(
    channel: grpc.aio.Channel, codemode: Codemode
) -> None:
    stream = RawStream(channel)
    message = opening()
    message.run.inputs = b"\xff\xff\xff"
    await stream.send(open=message)
    last = (await stream.rest())[-1]
    assert last.WhichOneof("message") == "failed"
    assert await codemode.execute_async("1") == "1"


PRINTS_AND_CALLS = """
import asyncio
print("before")
await asyncio.gather(*(ping(number=number) for number in range(10)))
"""


async def read_all(stream: RawStream) -> list[pb.ExecutorMessage]:
    """Answer all calls at once, in one batch; return every received message."""
    messages: list[pb.ExecutorMessage] = []
    answers: list[pb.ClientMessage] = []
    while isinstance(message := await stream.read(), pb.ExecutorMessage):
        messages.append(message)
        for one in unbatched(message):
            if one.WhichOneof("message") == "tool_call":
                call_id = one.tool_call.call_id
                answer = pb.ToolResult(run_id=1, call_id=call_id, value=encode(call_id))
                answers.append(pb.ClientMessage(tool_result=answer))
        if len(answers) == 10:
            await stream.send(batch=pb.ClientBatch(messages=answers))
            answers = []
    return messages


def features_with(isolation: str) -> list[str]:
    """Return what an executor announces; without isolation, none is left in doubt."""
    features = ["batches", "tool_names", "recording", "signs_of_life"]
    return features[:-1] if isolation == "none" else features


@pytest.mark.parametrize("accepts_batches", [False, True])
async def test_batches_go_both_ways_to_a_client_that_accepts_them(
    channel: grpc.aio.Channel, accepts_batches: bool
) -> None:
    tools = [pb.ToolSpec(name="ping", signature="ping(number)", asynchronous=True)]
    stream = RawStream(channel)
    await stream.send(open=opening(PRINTS_AND_CALLS, tools=tools, accepts_batches=accepts_batches))
    messages = await read_all(stream)
    kinds = [one.WhichOneof("message") for message in messages for one in unbatched(message)]
    assert kinds == ["started", "output", *["tool_call"] * 10, "completed"]
    started = next(iter(unbatched(messages[0]))).started
    assert list(started.features) == features_with(started.isolation)
    batched = [message for message in messages if message.WhichOneof("message") == "batch"]
    assert accepts_batches or not batched


@pytest.mark.parametrize("accepts_artifacts", [False, True])
async def test_a_client_that_accepts_none_is_sent_none(
    channel: grpc.aio.Channel, accepts_artifacts: bool
) -> None:
    code = (
        "open('a', 'w').write('x' * 300_000)\n"
        "try:\n    artifact('a')\nexcept RuntimeError as error:\n    result = str(error)"
    )
    stream = RawStream(channel)
    await stream.send(open=opening(code, accepts_artifacts=accepts_artifacts))
    messages = await stream.rest()
    kinds = [message.WhichOneof("message") for message in messages]
    value = decode(messages[-1].completed.value, max_bytes=1_000)
    if accepts_artifacts:
        assert kinds == ["started", "chunk", "chunk", "artifact", "completed"]
        assert value is None
    else:
        assert kinds == ["started", "completed"]
        assert "takes no files" in value


async def test_stray_tool_results_are_ignored(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    tools = [pb.ToolSpec(name="ping", signature="ping()")]
    await stream.send(open=opening("[ping(), ping()]", tools=tools))

    async def answer(run_id: int, call_id: int, text: str) -> None:
        result = pb.ToolResult(run_id=run_id, call_id=call_id, value=encode(text))
        await stream.send(tool_result=result)

    await stream.read()
    first = (await stream.read()).tool_call.call_id
    await answer(2, first, "of another run")
    await answer(1, first + 1, "before its call")
    await answer(0, 0, "of nothing")
    await answer(1, first, "first")
    await answer(1, first, "twice")
    assert (await stream.read()).tool_call.call_id == first + 1
    await answer(1, first + 1, "second")
    (completed,) = await stream.rest()
    assert decode(completed.completed.value, max_bytes=100) == ["first", "second"]


async def test_failure_of_an_unknown_kind_is_an_error(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    tools = [pb.ToolSpec(name="ping", signature="ping()")]
    code = "try:\n    ping()\nexcept ToolError as error:\n    result = str(error)"
    await stream.send(open=opening(code, tools=tools))
    await stream.read()
    call = (await stream.read()).tool_call
    failure = pb.ToolFailure(kind="from_the_future", type="Strange", message="odd things")
    await stream.send(tool_result=pb.ToolResult(run_id=1, call_id=call.call_id, failure=failure))
    (completed,) = await stream.rest()
    assert "odd things" in str(decode(completed.completed.value, max_bytes=1000))


async def test_cancel_run_ends_the_run(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening("print('in', flush=True)\nimport time\ntime.sleep(60)"))
    await stream.read()
    assert (await stream.read()).output.text == "in\n"
    await stream.send(cancel_run=pb.CancelRun(run_id=9))
    await stream.send(cancel_run=pb.CancelRun(run_id=1))
    (failed,) = await stream.rest()
    assert (failed.failed.status, failed.failed.type) == ("cancelled", "Cancelled")


async def test_half_closed_client_still_gets_its_result(channel: grpc.aio.Channel) -> None:
    stream = RawStream(channel)
    await stream.send(open=opening("import time\ntime.sleep(0.2)\n'done'"))
    await stream.call.done_writing()
    messages = await stream.rest()
    assert decode(messages[-1].completed.value, max_bytes=100) == "done"


async def test_info_describes_the_executor(codemode: Codemode) -> None:
    info = await codemode.client.info_async()
    assert info == await asyncio.to_thread(codemode.client.info)
    assert info.executor_version == __version__
    assert info.protocol_version == 1
    assert info.isolation in {"A", "B", "C", "none"}
    assert info.default_limits["max_memory_bytes"] == 512 * 1024 * 1024
    assert info.ceilings["max_memory_bytes"] == 2048 * 1024 * 1024
    assert info.max_execution_timeout == 600
    assert "json" in info.profiles["default"]
    assert info.max_concurrency >= 16
    assert info.max_queued == 1000


async def test_info_explains_why_isolation_is_not_better(codemode: Codemode) -> None:
    info = await codemode.client.info_async()
    assert (info.isolation_detail == "") is (info.isolation == "A")


@pytest.mark.parametrize("service", ["", "codemode.v1.ExecutorService"])
async def test_health_is_serving(channel: grpc.aio.Channel, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_the_service(channel: grpc.aio.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]))
    async for answer in call:
        names = {service.name for service in answer.list_services_response.service}
        assert "codemode.v1.ExecutorService" in names
        assert "grpc.health.v1.Health" in names
        break
    call.cancel()


async def test_stub_of_the_generated_code_serves_too(channel: grpc.aio.Channel) -> None:
    stub: Any = codemode_pb2_grpc.ExecutorServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
    info = await stub.GetInfo(pb.GetInfoRequest())
    assert info.protocol_version == 1
    assert list(info.features) == features_with(info.isolation)


async def test_connection_past_its_age_ends_without_ending_its_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The 5 minutes, which gRPC varies by a tenth, are too long for a test.
    options = dict(executor_server._OPTIONS)
    assert options.pop("grpc.max_connection_age_ms") == 300_000
    short = (*options.items(), ("grpc.max_connection_age_ms", 200))
    monkeypatch.setattr(executor_server, "_OPTIONS", short)
    async with serving() as (codemode, server):
        path = server.addresses[0].removeprefix("unix:")
        async with codemode.session() as session:
            assert (await session.run_async("x = 1")).ok
            running = asyncio.create_task(codemode.run_async("import time\ntime.sleep(2)\n'slept'"))
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(HTTP2_GREETING)
            # The executor sends this when the connection may take no new streams.
            await asyncio.wait_for(reader.readuntil(b"max_age"), 60)
            writer.close()
            for _ in range(3):
                assert (await codemode.run_async("1")).ok
            assert (await session.run_async("x")).value == 1
            assert (await running).value == "slept"
