"""kill -9 anywhere during a run: a typed outcome soon, the record kept, nothing repeated."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from codemode import ClientConfig, Codemode, ExecutionResult, ExecutorConnectionError
from codemode.core._grpc import channels
from tests.support.halves import Half
from tests.support.processes import (
    WHO,
    ExecutorProcess,
    descendants,
    is_running,
    process_named,
    wait_until,
)

Victim = Literal["child", "zygote", "executor"]

CODE = f"""
{WHO}
print("before")
charge(amount=5)
{{call}}
charge(amount=7)
"""


class Shop:
    """The tools of a run of which a process is killed while a tool works."""

    def __init__(self, executor: ExecutorProcess, victim: Victim) -> None:
        self.charges: list[int] = []
        self.strikes = 0
        self._executor = executor
        self._victim = victim

    def charge(self, amount: int) -> None:
        self.charges.append(amount)

    def strike(self, name: str) -> None:
        pid = process_named(name)
        assert pid is not None
        self.strikes += 1
        victims = {"child": pid, "zygote": self._executor.zygote, "executor": self._executor.pid}
        os.kill(victims[self._victim], signal.SIGKILL)

        # Otherwise the code's next call could come before its sandbox is dead.
        assert wait_until(lambda: not is_running(pid))

    async def strike_async(self, name: str) -> None:
        self.strike(name)

    def outcome(self, run: Callable[[], ExecutionResult]) -> ExecutionResult:
        """Return the result of a run that is struck long before its timeout."""
        if self._victim == "executor":
            with pytest.raises(ExecutorConnectionError, match="lost during the run") as caught:
                run()
            assert caught.value.result is not None
            result = caught.value.result
        else:
            result = run()
        return result


@pytest.fixture
def own_codemode(own_executor: ExecutorProcess) -> Iterator[Codemode]:
    config = ClientConfig(executor_url=own_executor.url)
    with Codemode.from_client_config(config) as facade:
        yield facade


SYNC, ASYNC = "strike(who())", "await strike_async(who())"


# Each half with each victim and each kind of call, and each victim with each kind.
@pytest.mark.parametrize(
    "half, victim, call",
    [
        ("sync", "child", SYNC),
        pytest.param("sync", "zygote", ASYNC, marks=pytest.mark.deep),
        pytest.param("sync", "executor", SYNC, marks=pytest.mark.deep),
        pytest.param("async", "child", ASYNC, marks=pytest.mark.deep),
        ("async", "zygote", SYNC),
        ("async", "executor", ASYNC),
    ],
    indirect=["half"],
)
def test_killed_mid_run_gives_the_record_and_repeats_nothing(
    own_executor: ExecutorProcess, own_codemode: Codemode, half: Half, victim: Victim, call: str
) -> None:
    shop = Shop(own_executor, victim)
    for tool in (shop.charge, shop.strike, shop.strike_async):
        own_codemode.registry.register_tool(tool.__name__, tool)
    assert half.run(own_codemode, "1").value == 1
    below = descendants(own_executor.pid)

    result = shop.outcome(
        lambda: half.run(own_codemode, CODE.format(call=call), execution_timeout=600)
    )

    assert result.status == "crashed"
    assert result.error is not None
    assert result.stdout == "before\n"
    assert result.tool_calls[0].name == "charge"
    assert result.tool_calls[0].arguments == {"amount": 5}
    assert result.tool_calls[0].outcome == "completed"
    assert result.tool_calls[1].name.startswith("strike")
    assert len(result.tool_calls) == 2
    assert (shop.charges, shop.strikes) == ([5], 1)

    if victim == "executor":
        own_executor.kill()
        assert wait_until(lambda: not any(map(is_running, below)))
        own_executor.start()
    assert half.run(own_codemode, "charge(amount=9)").ok
    assert (shop.charges, shop.strikes) == ([5, 9], 1)


@pytest.mark.parametrize("victim", ["child", "zygote", "executor"])
def test_kill_while_the_code_works_without_tools_keeps_the_output(
    own_executor: ExecutorProcess, own_codemode: Codemode, victim: Victim
) -> None:
    code = f"{WHO}print(who(), flush=True)\nwhile 1: pass"
    events = iter(own_codemode.stream(code, execution_timeout=600))
    next(events)
    name = next(events).text.strip()  # type: ignore[union-attr]  # the output
    shop = Shop(own_executor, victim)
    shop.strike(name)
    result = shop.outcome(lambda: list(events)[-1].result)  # type: ignore[union-attr]  # the last event
    assert result.status == "crashed"
    assert result.stdout == f"{name}\n"
    if victim == "executor":
        own_executor.kill()
        own_executor.start()
    assert own_codemode.run("2").value == 2


def test_killed_zygote_is_replaced_while_idle(
    own_executor: ExecutorProcess, own_codemode: Codemode
) -> None:
    assert own_codemode.run("1").value == 1
    former = own_executor.zygote
    os.kill(former, signal.SIGKILL)
    assert wait_until(lambda: not is_running(former))
    assert own_codemode.run("2").value == 2  # perhaps in a child of the old zygote
    assert wait_until(lambda: own_executor.zygotes() not in ([], [former]))


def test_children_killed_while_idle_are_replaced(
    own_executor: ExecutorProcess, own_codemode: Codemode
) -> None:
    for pid in descendants(own_executor.zygote):
        with contextlib.suppress(ProcessLookupError):  # the child was about to be replaced itself
            os.kill(pid, signal.SIGKILL)
    assert [own_codemode.run(f"{number}").value for number in range(8)] == list(range(8))


def test_killed_executor_is_named_before_the_run_began(
    own_executor: ExecutorProcess, own_codemode: Codemode, half: Half
) -> None:
    own_executor.kill()
    with pytest.raises(ExecutorConnectionError, match="cannot be reached") as caught:
        half.run(own_codemode, "1", execution_timeout=600)
    assert caught.value.result is None
    assert own_executor.url in str(caught.value)


def test_a_zygote_ends_silently_with_its_executor_whatever_is_still_unread(
    own_executor: ExecutorProcess,
) -> None:
    zygote = own_executor.zygote

    def no_child() -> bool:
        # The executor may have requested one more before it was stopped.
        left = descendants(zygote)
        for child in left:
            with contextlib.suppress(ProcessLookupError):  # it is ending already
                os.kill(child, signal.SIGKILL)
        return not left

    os.kill(own_executor.pid, signal.SIGSTOP)
    # The zygote's report of the dead child stays unread, so its socket ends by a reset.
    try:
        assert wait_until(no_child)
    finally:
        own_executor.kill()

    assert wait_until(lambda: not is_running(zygote))
    assert "Traceback" not in own_executor.log


@pytest.mark.deep
def test_an_executor_that_is_stopped_is_abandoned(
    own_executor: ExecutorProcess, half: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = {"grpc.keepalive_time_ms", "grpc.http2.ping_timeout_ms"}
    options = channels._OPTIONS
    # gRPC's default is a minute, or no limit at all.
    assert patience <= dict(options).keys()
    impatient = tuple((name, n // 10 if name in patience else n) for name, n in options)
    monkeypatch.setattr(channels, "_OPTIONS", impatient)
    config = ClientConfig(executor_url=own_executor.url)
    with Codemode.from_client_config(config) as codemode:

        def freeze() -> None:
            os.kill(own_executor.pid, signal.SIGSTOP)

        codemode.registry.register_tool("freeze", freeze)
        try:
            with pytest.raises(ExecutorConnectionError, match="lost during the run") as caught:
                half.run(codemode, "freeze()\nwhile True: pass", execution_timeout=600)
        finally:
            os.kill(own_executor.pid, signal.SIGCONT)
    assert caught.value.result is not None
    assert [call.name for call in caught.value.result.tool_calls] == ["freeze"]
