"""The sandbox dies with the process for which it works."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time

import pytest

from codemode import ExecutorConfig
from codemode.executor.serving import server
from tests.concurrency.ended_processes import once, working
from tests.support.deaths import (
    PROMISED_SECONDS,
    STATES,
    best_of,
    seconds_until_death,
)
from tests.support.marks import deep_except
from tests.support.processes import ExecutorProcess, is_running, wait_until
from tests.support.watchdog import PATIENCE

ATTEMPTS = 5
EachState = pytest.mark.parametrize("state", list(STATES))
EachSignal = pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="SIGINT"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.deep),
        pytest.param(signal.SIGKILL, id="SIGKILL", marks=pytest.mark.deep),
    ],
)
EachHalf = pytest.mark.parametrize(
    "half",
    deep_except(["sync", "async", "codemode_exec"], "async"),
)


def skip_in_a_pid_namespace() -> None:
    if os.environ.get("CODEMODE_TEST_TIER", "unsafe") == "A":
        pytest.skip("in a PID namespace the code cannot tell its process id")


@EachHalf
@EachState
@EachSignal
def test_a_sandbox_of_a_shared_executor_ends_with_its_client(
    executor: ExecutorProcess, half: str, state: str, number: signal.Signals
) -> None:
    skip_in_a_pid_namespace()
    once(half, state, executor.url, number)


@pytest.mark.quiet
@EachHalf
@EachState
@EachSignal
def test_a_sandbox_is_dead_within_200_ms_of_its_clients_end(
    executor: ExecutorProcess, half: str, state: str, number: signal.Signals
) -> None:
    skip_in_a_pid_namespace()
    assert best_of(ATTEMPTS, lambda: once(half, state, executor.url, number)) < PROMISED_SECONDS


@pytest.mark.quiet
@pytest.mark.parametrize("state", ["loop", "sync tool"])
@EachSignal
def test_a_sandbox_of_an_executor_of_its_own_does(state: str, number: signal.Signals) -> None:
    assert best_of(ATTEMPTS, lambda: once("sync", state, "", number)) < PROMISED_SECONDS


@pytest.mark.quiet
@EachState
def test_a_sandbox_ends_with_its_executor(state: str) -> None:
    skip_in_a_pid_namespace()

    def once() -> float:
        with ExecutorProcess() as executor, working("async", state, executor.url) as (process, pid):
            seconds = seconds_until_death(pid, executor.kill)
            _, err = process.communicate(timeout=PATIENCE)
            assert "lost during the run" in err
        return seconds

    assert best_of(ATTEMPTS, once) < PROMISED_SECONDS


# A live client answers within five seconds, even when the machine is busy.
IMPATIENCE = {"grpc.keepalive_time_ms": 1_500, "grpc.http2.ping_timeout_ms": 5_000}


@pytest.mark.deep
@pytest.mark.parametrize("half", ["sync", "async"])
async def test_a_client_that_disappears_silently_is_detected_and_a_busy_one_is_not(
    monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    impatient = [(name, IMPATIENCE.get(name, value)) for name, value in server._OPTIONS]
    monkeypatch.setattr(server, "_OPTIONS", impatient)

    def watch(url: str) -> None:
        with working(half, "sleep", url) as (process, pid):
            time.sleep(8)  # longer than the executor waits
            assert is_running(pid)
            process.send_signal(signal.SIGSTOP)
            assert wait_until(lambda: not is_running(pid), PATIENCE)

    with tempfile.TemporaryDirectory(prefix="cm-test-") as folder:
        url = f"unix:{folder}/socket"
        config = ExecutorConfig(listen=(url,), tier="unsafe", min_tier="unsafe")
        async with server.ExecutorServer(config):
            await asyncio.to_thread(watch, url)


def test_a_killed_client_leaves_the_shared_executor_running(executor: ExecutorProcess) -> None:
    skip_in_a_pid_namespace()
    with working("sync", "sleep", executor.url) as (process, pid):
        process.kill()
        process.communicate(timeout=PATIENCE)
        assert wait_until(lambda: not is_running(pid))
    assert is_running(executor.pid)
