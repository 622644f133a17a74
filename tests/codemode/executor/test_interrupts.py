"""Signals, forks and hanging processes leave clear outcomes, and no sandbox behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest

import codemode.core._link.request as request_module
from codemode import ClientConfig, Codemode, ExecutorConnectionError, ExecutorDeadlineError
from tests.support.halves import Half
from tests.support.marks import deep_except
from tests.support.processes import WHO, ExecutorProcess, is_running, wait_until


def script(executor: ExecutorProcess, body: str) -> list[str]:
    """Return the command of a client process whose ``codemode`` uses the executor."""
    head = (
        "import asyncio, os, sys\n"
        "from codemode import ClientConfig, Codemode\n"
        f"codemode = Codemode.from_client_config(ClientConfig(executor_url={executor.url!r}))\n"
        "codemode.registry.register_tool('here', lambda name: print(name, flush=True))\n"
        "async def endless(): await asyncio.sleep(600)\n"
        "codemode.registry.register_tool('endless', endless)\n"
    )
    return [sys.executable, "-W", "ignore::DeprecationWarning", "-c", head + textwrap.dedent(body)]


CODE = f"{WHO}import time\nhere(who())\n{{}}"


@pytest.mark.parametrize("ending", ["time.sleep(600)", "while True: pass", "await endless()"])
@pytest.mark.parametrize(
    "way", ["codemode.run({!r}, {})", "asyncio.run(codemode.run_async({!r}, {}))"]
)
def test_interrupt_ends_the_client_and_the_sandbox(
    executor: ExecutorProcess, ending: str, way: str
) -> None:
    code = CODE.format(ending)
    with subprocess.Popen(
        script(executor, way.format(code, "execution_timeout=600")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        name = client.stdout.readline().strip()
        assert is_running(name)
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert client.returncode in (1, 130, -signal.SIGINT)
    assert wait_until(lambda: not is_running(name))


INTERRUPTED = """
    import random, signal, time
    from tests.support.processes import threads_of_executions, wait_until

    class SoftLimitError(Exception):
        pass

    def over(*_):
        raise {error}

    async def answer():
        return 42

    codemode.registry.register_tool("answer", answer)
    signal.signal(signal.SIGALRM, over)
    random.seed(7)

    def once():
        if {session}:
            with codemode.session() as session:
                session.run("x = 1")
                return session.run({code!r}, execution_timeout=600)
        return codemode.run({code!r}, execution_timeout=600)

    interrupts = 0
    {warm_up}
    for _ in range(150):
        try:
            # Again after 2 s: what is raised while an object is deleted, Python drops.
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.02), 2)
            once()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except {error}:
            signal.setitimer(signal.ITIMER_REAL, 0)
            interrupts += 1
    assert interrupts > 20, interrupts
    assert codemode.run("6 * 7").value == 42
    # One may stay where an interrupt comes between its start and the note of it.
    assert wait_until(lambda: len(threads_of_executions()) < 3), threads_of_executions()
"""


@pytest.mark.parametrize(
    "error, code",
    [
        ("KeyboardInterrupt", "here('a') or here('b')"),
        ("KeyboardInterrupt", "await answer() + await answer()"),
        ("KeyboardInterrupt", CODE.format("time.sleep(600)")),
        ("SoftLimitError", "for i in range(20): print(i, flush=True)"),
        ("SoftLimitError", "import time\ntime.sleep(600)"),
    ],
)
@pytest.mark.parametrize("session", deep_except([False, True], False))
def test_what_a_signal_handler_raises_passes_through_wherever_it_hits(
    executor: ExecutorProcess, error: str, code: str, session: bool
) -> None:
    """The client works afterwards, and neither a lock of gRPC nor a sandbox is left."""
    warm_up = "" if "600" in code else "once()"
    body = INTERRUPTED.format(error=error, code=code, session=session, warm_up=warm_up)
    client = subprocess.run(
        script(executor, body), capture_output=True, text=True, timeout=110, check=False
    )
    assert client.returncode == 0, client.stderr
    names = [name for name in client.stdout.split() if len(name) > 1]
    assert wait_until(lambda: not any(map(is_running, names)))


def test_client_works_on_both_sides_of_a_fork(executor: ExecutorProcess) -> None:
    body = """
        assert codemode.execute("1") == "1"
        asyncio.run(codemode.execute_async("1"))
        pid = os.fork()
        assert codemode.execute("'side %s' % " + str(bool(pid))) == f"side {bool(pid)}"
        assert asyncio.run(codemode.execute_async("7")) == "7"
        if not pid:
            os._exit(42)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
        assert codemode.execute("2") == "2"
        codemode.close()
        print("done")
    """
    done = subprocess.run(
        script(executor, body), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "done\n", done.stderr


def test_close_in_a_forked_child_leaves_the_parents_runs(executor: ExecutorProcess) -> None:
    body = """
        events = iter(codemode.stream("import time\\ntime.sleep(0.5)\\n'whole'"))
        next(events)
        pid = os.fork()
        if not pid:
            codemode.close()
            os._exit(42)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
        assert list(events)[-1].result.value == "whole"
        codemode.close()
        print("done")
    """
    done = subprocess.run(
        script(executor, body), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "done\n", done.stderr


def test_client_that_is_never_closed_ends_with_its_process(executor: ExecutorProcess) -> None:
    body = f"""
        session = codemode.session()
        session.__enter__()
        assert session.run("1").value == 1
        events = iter(codemode.stream({CODE.format("time.sleep(600)")!r}, execution_timeout=600))
        for _ in range(3):
            next(events)
    """
    done = subprocess.run(
        script(executor, body), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: not is_running(done.stdout.strip()))


@pytest.fixture
def stopped(own_executor: ExecutorProcess) -> Iterator[Codemode]:
    config = ClientConfig(executor_url=own_executor.url)
    with Codemode.from_client_config(config) as codemode:
        assert codemode.run("1").value == 1
        os.kill(own_executor.pid, signal.SIGSTOP)
        try:
            yield codemode
        finally:
            os.kill(own_executor.pid, signal.SIGCONT)
        assert codemode.run("2").value == 2


def test_executor_that_hangs_is_abandoned(
    stopped: Codemode, half: Half, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_module, "_DEADLINE_SLACK", 0.3)
    stopped.client.limits = stopped.client.limits.model_copy(update={"queue_timeout": 0.1})
    with pytest.raises(ExecutorDeadlineError) as caught:
        half.run(stopped, "1", execution_timeout=0.1)
    assert caught.value.result is None


def test_terminated_executor_lets_its_runs_finish(own_executor: ExecutorProcess) -> None:
    # With no wait for another executor, because this one waits 5 seconds for its runs.
    config = ClientConfig(executor_url=own_executor.url, connect_timeout=0)
    with (
        Codemode.from_client_config(config) as codemode,
        Codemode.from_client_config(config) as other,
    ):
        end = threading.Event()

        async def hold() -> None:
            while not end.is_set():
                await asyncio.sleep(0.01)

        def is_refused() -> bool:
            try:
                other.run("1")
            except ExecutorConnectionError:
                return True
            return False

        codemode.registry.register_tool("hold", hold)
        events = iter(codemode.stream("await hold()\n'whole'", execution_timeout=600))
        next(events)
        os.kill(own_executor.pid, signal.SIGTERM)
        assert wait_until(is_refused)
        end.set()
        assert list(events)[-1].result.value == "whole"  # type: ignore[union-attr]  # the last event
        assert wait_until(lambda: not is_running(own_executor.pid))


@pytest.mark.deep
def test_terminated_executor_does_not_wait_forever(own_executor: ExecutorProcess) -> None:
    config = ClientConfig(executor_url=own_executor.url)
    with Codemode.from_client_config(config) as codemode:
        events = iter(codemode.stream("import time\ntime.sleep(600)", execution_timeout=600))
        next(events)
        os.kill(own_executor.pid, signal.SIGTERM)
        with pytest.raises(ExecutorConnectionError, match="lost during the run") as caught:
            list(events)
        assert caught.value.result is not None
        assert wait_until(lambda: not is_running(own_executor.pid))
