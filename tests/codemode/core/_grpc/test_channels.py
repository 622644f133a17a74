"""An executor's address is parsed or refused, and errors name what answers there."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gc
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from codemode import (
    ClientConfig,
    Codemode,
    ConfigurationError,
    ExecutorClient,
    ExecutorClientError,
    ExecutorConnectionError,
    ExecutorProtocolError,
    TLSConfig,
)
from codemode.config import Limits
from codemode.core._grpc.channels import parse_target
from codemode.protos import codemode_pb2 as pb
from codemode.values import encode
from tests.support.embedded_host import run_program
from tests.support.halves import Half
from tests.support.processes import ExecutorProcess, free_port, open_descriptors, wait_until
from tests.support.scripted_executor import DONE, STARTED, scripted

KEY = "a key of sixteen letters"


@pytest.mark.parametrize(
    "url, address, secure",
    [
        ("http://localhost:8001", "localhost:8001", False),
        ("HTTP://localhost:8001/", "localhost:8001", False),
        ("http://localhost", "localhost:80", False),
        ("https://executor.example", "executor.example:443", True),
        ("https://[::1]:8001", "[::1]:8001", True),
        ("unix:/run/codemode.sock", "unix:/run/codemode.sock", False),
        ("unix:///run/codemode.sock", "unix:///run/codemode.sock", False),
        ("dns:///executors:8001", "dns:///executors:8001", False),
        ("executors:8001", "executors:8001", False),
        ("redis:8001", "redis:8001", False),
        ("[::1]:8001", "[::1]:8001", False),
        ("ipv4:10.0.0.1:8001,10.0.0.2:8001", "ipv4:10.0.0.1:8001,10.0.0.2:8001", False),
        ("unix-abstract:codemode", "unix-abstract:codemode", False),
        ("vsock:2:8001", "vsock:2:8001", False),
        ("xds:///executors", "xds:///executors", False),
    ],
)
def test_address_is_parsed(url: str, address: str, secure: bool) -> None:
    target = parse_target(url, None)
    assert (target.address, target.secure) == (address, secure)


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        " http://localhost:8001",
        "http://",
        "https://",
        "http://localhost:99999",
        "http://localhost:x",
        "http://localhost:8001/path",
        "http://localhost:8001/?key=1",
        "http://user:secret@localhost:8001",
        "http://:8001",
        "https:executor:8001",
        "redis://localhost:6379",
        "/run/codemode.sock",
        "executor:8001/path",
        "user@executor:8001",
        "unix:",
        "dns:///",
    ],
)
def test_malformed_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="executor_url"):
        ExecutorClient(url or " ")
    with pytest.raises(ConfigurationError, match="executor_url"):
        parse_target(url, None)


def test_plain_http_with_tls_options_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="plain http, but tls is set"):
        ExecutorClient("http://localhost:8001", tls=TLSConfig())
    assert parse_target("dns:///executors:8001", TLSConfig()).secure


@pytest.mark.parametrize(
    "url",
    [
        "unix:/nowhere/at/all",
        "http://127.0.0.1:1",
        "http://no-such-host.invalid:8001",
    ],
)
def test_unreachable_address_is_named_soon(url: str, half: Half) -> None:
    config = ClientConfig(executor_url=url, connect_timeout=0.2)
    with Codemode.from_client_config(config) as codemode:
        with pytest.raises(ExecutorConnectionError, match="cannot be reached") as caught:
            half.run(codemode, "1", execution_timeout=600)
        with pytest.raises(ExecutorConnectionError):
            codemode.client.info()
    assert caught.value.result is None
    assert url in str(caught.value)


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Yield the address of a port that speaks another protocol."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopping = threading.Event()

        def serve() -> None:
            server.settimeout(0.05)
            while not stopping.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(answer)
                    time.sleep(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        stopping.set()
        thread.join()


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100), b""]
)
def test_another_protocol_is_named_soon(answer: bytes, half: Half) -> None:
    with (
        answering(answer) as url,
        Codemode.from_client_config(
            ClientConfig(executor_url=url, connect_timeout=0.2)
        ) as codemode,
        pytest.raises(ExecutorConnectionError, match="cannot be reached"),
    ):
        half.run(codemode, "1", execution_timeout=600)


UNKNOWN = pb.ExecutorMessage.FromString(b"\xc2\x3e\x03new")


def test_events_of_a_newer_executor_are_ignored(half: Half) -> None:
    strange = pb.Output(run_id=1, text="?")
    strange.stream = 77  # type: ignore[assignment]  # a value of the future
    newer = pb.ExecutorMessage.FromString(DONE.SerializeToString() + b"\xc2\x3e\x03new")
    messages = [STARTED, UNKNOWN, pb.ExecutorMessage(output=strange), UNKNOWN, newer]
    with scripted(lambda _: iter(messages)) as (codemode, _):
        result = half.run(codemode, "1")
        assert (result.value, result.stdout, result.isolation) == (5, "", "A")


def test_more_output_than_a_run_may_print_is_not_kept(half: Half) -> None:
    most = Limits(max_output_bytes=10_000)
    printed = [pb.ExecutorMessage(output=pb.Output(run_id=1, stream=pb.Output.STREAM_STDOUT, text=text)) for text in (
        "é" * 9_000, "", "x" * 1_000
    )]  # fmt: skip
    with scripted(lambda _: iter([STARTED, *printed, DONE])) as (codemode, _):
        codemode.client.limits = most
        assert len(half.run(codemode, "1").stdout) == 10_000
    without_end = itertools.chain([STARTED], itertools.repeat(printed[0]))
    with scripted(lambda _: without_end) as (codemode, _):
        codemode.client.limits = most
        with pytest.raises(ExecutorProtocolError, match="output above max_output_bytes") as caught:
            half.run(codemode, "1")
        assert caught.value.result is not None
        assert len(caught.value.result.stdout) == 9_000


def given(name: str, data: bytes) -> pb.ExecutorMessage:
    return pb.ExecutorMessage(artifact=pb.Artifact(run_id=1, name=name, data=data))


@pytest.mark.parametrize("limit", [{"max_artifacts": 3}, {"max_artifact_bytes": 3_500}])
def test_more_artifacts_than_a_run_may_give_are_not_kept(half: Half, limit: dict[str, int]) -> None:
    chunk = pb.ExecutorMessage(chunk=pb.Chunk(data=bytes(500)))
    script = [STARTED, *[chunk, given("../a", bytes(500))] * 3]
    with scripted(lambda _: iter([*script, DONE])) as (codemode, _):
        codemode.client.limits = Limits(**limit)
        result = half.run(codemode, "1")
        assert result.value == 5
        assert [(one.name, one.data) for one in result.artifacts] == [
            (name, bytes(1_000)) for name in ("a", "a-2", "a-3")
        ]
    without_end = itertools.chain(script, itertools.repeat(given("b", bytes(1_000))))
    with scripted(lambda _: without_end) as (codemode, _):
        codemode.client.limits = Limits(**limit)
        (name,) = limit
        with pytest.raises(ExecutorProtocolError, match=f"artifacts above {name} ") as caught:
            half.run(codemode, "1")
        assert caught.value.result is not None
        assert len(caught.value.result.artifacts) == 3


def test_stream_that_ends_without_a_result_is_a_broken_contract(half: Half) -> None:
    with scripted(lambda _: iter([STARTED])) as (codemode, _):
        with pytest.raises(ExecutorProtocolError, match="before the run had ended") as caught:
            half.run(codemode, "1")
        assert caught.value.result is not None
        assert caught.value.result.status == "crashed"


@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"\xd9\x01\x02", encode(5) + b"\x00", b"\x9f" * 50]
)
def test_hostile_result_is_refused(half: Half, value: bytes) -> None:
    done = pb.ExecutorMessage(completed=pb.Completed(run_id=1, value=value))
    with scripted(lambda _: iter([STARTED, done])) as (codemode, _):
        result = half.run(codemode, "1")
        assert result.status == "crashed"
        assert result.error is not None
        assert result.error.type == "ProtocolError"


def test_value_above_its_limit_is_refused(half: Half) -> None:
    chunks = [pb.ExecutorMessage(chunk=pb.Chunk(data=bytes(1024 * 1024)))] * 20
    with (
        scripted(lambda _: iter([STARTED, *chunks, DONE])) as (codemode, _),
        pytest.raises(ExecutorProtocolError, match="max_value_bytes"),
    ):
        half.run(codemode, "1")


def test_unknown_status_is_a_failure(half: Half) -> None:
    failed = pb.ExecutorMessage(failed=pb.Failed(run_id=1, status="evaporated", type="X"))
    with scripted(lambda _: iter([STARTED, failed])) as (codemode, _):
        assert half.run(codemode, "1").status == "failed"


def test_server_that_is_not_an_executor_is_named(half: Half) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        config = ClientConfig(executor_url=f"http://127.0.0.1:{port}")
        with (
            Codemode.from_client_config(config) as codemode,
            pytest.raises(ExecutorProtocolError, match="is not a Codemode executor"),
        ):
            half.run(codemode, "1")
    finally:
        server.stop(0).wait()


def test_unavailable_before_the_start_is_retried(half: Half) -> None:
    def script(_: Any) -> Iterator[Any]:
        if fake.streams < 3:
            yield grpc.StatusCode.UNAVAILABLE
        yield STARTED
        yield DONE

    with scripted(script) as (codemode, fake):
        assert half.run(codemode, "1").value == 5
        assert fake.streams == 3


@pytest.mark.no_retry
def test_unavailable_after_the_start_is_never_retried(half: Half) -> None:
    calls: list[int] = []

    def script(requests: Iterator[pb.ClientMessage]) -> Iterator[Any]:
        yield STARTED
        yield pb.ExecutorMessage(
            tool_call=pb.ToolCall(run_id=1, call_id=1, name="charge", arguments=encode({}))
        )
        next(requests)
        yield grpc.StatusCode.UNAVAILABLE

    with scripted(script) as (codemode, fake):
        codemode.registry.register_tool("charge", lambda: calls.append(1))
        with pytest.raises(ExecutorConnectionError, match="lost during the run") as caught:
            half.run(codemode, "charge()")
        assert fake.streams == 1
        assert calls == [1]
        assert caught.value.result is not None
        assert [call.outcome for call in caught.value.result.tool_calls] == ["completed"]


@pytest.mark.parametrize("status", ["INTERNAL", "UNKNOWN", "ABORTED", "DATA_LOSS"])
def test_other_statuses_are_typed(half: Half, status: str) -> None:
    with scripted(lambda _: iter([grpc.StatusCode[status]])) as (codemode, fake):
        with pytest.raises(ExecutorClientError, match=f"{status}: said the script"):
            half.run(codemode, "1")
        assert fake.streams == 1


def test_calls_of_unknown_tools_and_bad_arguments_are_refused(half: Half) -> None:
    answers: list[pb.ClientMessage] = []

    def script(requests: Iterator[pb.ClientMessage]) -> Iterator[Any]:
        yield STARTED
        for name, arguments in (("nope", encode({})), ("add", b"\xff"), ("add", encode([1]))):
            call_id = len(answers) + 1
            yield pb.ExecutorMessage(
                tool_call=pb.ToolCall(run_id=1, call_id=call_id, name=name, arguments=arguments)
            )
            answers.append(next(requests))
        yield pb.ExecutorMessage(tool_call_cancelled=pb.ToolCallCancelled(run_id=1, call_id=99))
        yield DONE

    with scripted(script) as (codemode, _):
        codemode.registry.register_tool("add", lambda a, b: a + b)
        assert half.run(codemode, "1").value == 5
    kinds = [answer.tool_result.failure.kind for answer in answers]
    assert kinds[0] == "unknown_tool"
    assert all(kinds)


def test_threads_alone_connect_even_where_grpc_has_no_poller_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRPC_EXPERIMENTS", "-event_engine_client")
    # Without this, gRPC makes up for it, but only every five seconds.
    monkeypatch.setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "0")
    source = """
import sys, time
from codemode import ClientConfig, Codemode
config = ClientConfig(executor_url=sys.argv[1], connect_timeout=20)
with Codemode.from_client_config(config) as codemode:
    begin = time.monotonic()
    print(codemode.run("6 * 7").value, time.monotonic() - begin < config.connect_timeout)
"""
    with ExecutorProcess() as executor:
        assert run_program(source, tmp_path, executor.url) == "42 True\n"


async def test_runs_wait_for_an_executor_that_restarts() -> None:
    """Runs of both halves that had not begun wait, and none fails for lack of an executor."""
    with ExecutorProcess() as executor:
        config = ClientConfig(executor_url=executor.url, connect_timeout=100)
        async with Codemode.from_client_config(config) as codemode:
            assert await codemode.execute_async("1") == await asyncio.to_thread(
                codemode.execute, "1"
            )
            executor.kill()
            waiting = [asyncio.to_thread(codemode.run, "6 * 7") for _ in range(3)]
            waiting += [codemode.run_async("6 * 7") for _ in range(3)]
            tasks = [asyncio.ensure_future(one) for one in waiting]
            await asyncio.sleep(0.7)  # longer than all attempts of a single run
            assert not any(task.done() for task in tasks)
            await asyncio.to_thread(executor.start)
            assert [result.value for result in await asyncio.gather(*tasks)] == [42] * 6
            async with codemode.session() as session:
                assert (await session.run_async("1")).value == 1


@contextlib.contextmanager
def executors(count: int) -> Iterator[tuple[str, list[ExecutorProcess]]]:
    """Yield one target for several executors, and the executors."""
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                ExecutorProcess(
                    *("--tier", "unsafe"),
                    listen=f"127.0.0.1:{free_port()}",
                    environment={"CODEMODE_EXECUTOR_API_KEY": KEY},
                )
            )
            for _ in range(count)
        ]
        yield "ipv4:" + ",".join(process.url for process in processes), processes


def test_executions_are_spread_over_the_executors_of_one_target(half: Half) -> None:
    """Executions are spread evenly, and a lost executor costs no run that had not begun."""
    code = "import os\nos.getppid()"  # the zygote's id, where the code sees it
    with executors(2) as (url, (first, _)), contextlib.ExitStack() as stack:
        config = ClientConfig(executor_url=url, executor_api_key=KEY)
        codemode = stack.enter_context(Codemode.from_client_config(config))
        seen: collections.Counter[int] = collections.Counter()

        def both_were_used() -> bool:
            seen[half.run(codemode, code).value] += 1
            return len(seen) == 2

        # The first executions go where the first connection leads.
        assert wait_until(both_were_used)
        if half.name == "sync":
            turns = collections.Counter(half.run(codemode, code).value for _ in range(20))
            assert sorted(turns.values()) == [10, 10]
        first.kill()
        results = [half.run(codemode, code) for _ in range(10)]
        assert len({result.value for result in results}) == 1


def test_channels_of_closed_loops_are_dropped(codemode: Codemode) -> None:
    for _ in range(5):
        assert asyncio.run(codemode.execute_async("1")) == "1"
    channels = codemode.client._connection._channels
    assert channels is not None
    assert len(channels._by_loop) == 1


def test_many_short_loops_leak_no_descriptor(codemode: Codemode) -> None:
    def run() -> None:
        assert asyncio.run(codemode.execute_async("1")) == "1"

    for _ in range(5):
        run()
    gc.collect()
    before = open_descriptors(os.getpid())
    for _ in range(20):
        run()
    gc.collect()
    # gRPC closes some of its descriptors from other threads.
    assert wait_until(lambda: open_descriptors(os.getpid()) <= before + 4)
