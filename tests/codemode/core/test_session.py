"""A session is one sandbox for several runs, bound to the context and tools of its opening."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import pytest

from codemode import (
    ClientConfig,
    Codemode,
    ConfigurationError,
    ExecutionResult,
    ExecutorClientError,
)
from codemode.core._link import request
from codemode.core.session import Session
from codemode.errors import ExecutorDeadlineError, ExecutorRequestError, ValueEncodingError
from tests.support.processes import WHO, ExecutorProcess, is_running, wait_until

Kind = Literal["sync", "async"]


class Notebook:
    """A session of either half, which a loop of its own drives from sync tests."""

    def __init__(self, codemode: Codemode, kind: Kind) -> None:
        self._codemode = codemode
        self._kind = kind
        self._runner: asyncio.Runner | None = None
        self._session: Session | None = None

    def open(self, **options: Any) -> None:
        self._session = session = self._codemode.session(**options)
        if self._kind == "sync":
            session.__enter__()
        else:
            self._runner = asyncio.Runner()
            self._runner.run(session.__aenter__(), context=contextvars.copy_context())

    def run(self, code: str, **options: Any) -> ExecutionResult:
        if self._session is None:
            self.open()
        assert self._session is not None
        if self._runner is None:
            return self._session.run(code, **options)
        # A runner has its own context. A task of the caller's would have the caller's context.
        context = contextvars.copy_context()
        return self._runner.run(self._session.run_async(code, **options), context=context)

    def close(self) -> None:
        if self._session is None:
            return
        if self._runner is None:
            self._session.__exit__(None, None, None)
        else:
            self._runner.run(self._session.__aexit__(None, None, None))
            self._runner.close()
        self._session = self._runner = None


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def notebook(kind: Kind, codemode: Codemode) -> Iterator[Notebook]:
    book = Notebook(codemode, kind)
    yield book
    book.close()


def test_variables_stay(notebook: Notebook) -> None:
    notebook.run("import math\nx = 20\ndef double(n): return 2 * n")
    assert notebook.run("double(x) + math.floor(2.5)").value == 42


def test_result_of_an_earlier_run_does_not_count(notebook: Notebook) -> None:
    assert notebook.run("result = 5").value == 5
    assert notebook.run("x = 1").value is None
    assert notebook.run("x").value == 1
    assert notebook.run("result").value == 5


def test_failure_keeps_the_session(notebook: Notebook) -> None:
    notebook.run("x = 1")
    failed = notebook.run("x = 2\n1/0")
    assert (failed.status, failed.error and failed.error.line) == ("failed", 2)
    assert notebook.run("x").value == 2


def test_inputs_are_variables_of_the_session(notebook: Notebook) -> None:
    notebook.run("total = price", inputs={"price": 3})
    assert notebook.run("total + price").value == 6


def test_output_and_calls_belong_to_their_run(codemode: Codemode, notebook: Notebook) -> None:
    codemode.registry.register_tool("add", lambda a, b: a + b)
    first = notebook.run("print('one')\nadd(1, 2)")
    second = notebook.run("print('two')\nadd(3, 4)")
    assert (first.stdout, first.value, len(first.tool_calls)) == ("one\n", 3, 1)
    assert (second.stdout, second.value, len(second.tool_calls)) == ("two\n", 7, 1)
    assert first.execution_id != second.execution_id


def test_one_loop_lives_as_long_as_the_session(codemode: Codemode, notebook: Notebook) -> None:
    async def echo(n: int) -> int:
        await asyncio.sleep(0.01)
        return n

    codemode.registry.register_tool("echo", echo)
    notebook.run(
        "import asyncio\nlock = asyncio.Lock()\nawait echo(1)\nloop = asyncio.get_running_loop()"
    )
    code = "async with lock: n = await echo(2)\nresult = (n, loop is asyncio.get_running_loop())"
    assert notebook.run(code).value == (2, True)


@pytest.mark.no_retry
def test_run_under_another_context_is_refused(codemode: Codemode, notebook: Notebook) -> None:
    with codemode.registry.context(tenant="acme"):
        notebook.open()
        assert notebook.run("1").value == 1
        with (
            codemode.registry.context(tenant="globex"),
            pytest.raises(ConfigurationError, match="they differ in 'tenant'") as caught,
        ):
            notebook.run("2")
        assert "acme" not in str(caught.value)
        assert notebook.run("3").value == 3


def test_concurrent_runs_are_refused(codemode: Codemode) -> None:
    refused: list[str] = []

    def again() -> None:
        with pytest.raises(ExecutorClientError, match="running already"):
            session.run("2")
        refused.append("again")

    codemode.registry.register_tool("again", again)
    with codemode.session() as session:
        assert session.run("again()").ok
        assert session.run("3").value == 3
    assert refused == ["again"]


async def test_concurrent_runs_are_refused_in_tasks(codemode: Codemode) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await end.wait()

    codemode.registry.register_tool("hold", hold)
    async with codemode.session() as session:
        first = asyncio.create_task(session.run_async("await hold()\n1"))
        await begun.wait()
        with pytest.raises(ExecutorClientError, match="running already"):
            await session.run_async("2")
        end.set()
        assert (await first).value == 1


@pytest.mark.parametrize(
    "code, status",
    [
        ("while True: pass", "timeout"),
        ("import os\nos._exit(1)", "crashed"),
        ("while True: print('x' * 1000)", "limit"),
    ],
)
def test_the_death_of_the_sandbox_ends_the_session(
    notebook: Notebook, code: str, status: str
) -> None:
    assert notebook.run("1").value == 1
    timeout = 1 if status == "timeout" else 60
    assert notebook.run(code, execution_timeout=timeout).status == status
    with pytest.raises(ExecutorClientError, match=f"has ended.*{status}"):
        notebook.run("2")


def test_timeout_is_per_run(notebook: Notebook) -> None:
    notebook.open(execution_timeout=3)
    for _ in range(6):
        assert notebook.run("import time\ntime.sleep(0.6)").ok
    assert notebook.run("time.sleep(60)", execution_timeout=0.1).status == "timeout"


@pytest.mark.deep
def test_an_executor_that_hangs_is_abandoned(
    own_executor: ExecutorProcess, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "_DEADLINE_SLACK", 0.0)
    config = ClientConfig.parse({"executor_url": own_executor.url, "limits": {"queue_timeout": 5}})
    with Codemode.from_client_config(config) as codemode:
        book = Notebook(codemode, kind)
        assert book.run("1").ok
        os.kill(own_executor.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ExecutorDeadlineError) as caught:
                book.run("2", inputs={"x": b"x" * 10_000_000}, execution_timeout=0.1)
            with pytest.raises(ExecutorClientError, match="has ended.*ExecutorDeadlineError"):
                book.run("3")
            book.close()
        finally:
            os.kill(own_executor.pid, signal.SIGCONT)
    assert caught.value.result is None  # the run had not begun


def test_later_run_above_a_ceiling_is_refused(notebook: Notebook) -> None:
    notebook.run("1")
    with pytest.raises(ExecutorRequestError, match="execution_timeout=601"):
        notebook.run("2", execution_timeout=601)


def test_idle_session_ends(notebook: Notebook) -> None:
    notebook.open(idle_timeout=2)
    name = notebook.run(f"{WHO}who()").value
    assert wait_until(lambda: not is_running(name))
    with pytest.raises(ExecutorRequestError, match=r"idle_timeout of 2 s"):
        notebook.run("1")


def test_tool_calls_are_a_total_of_the_session(codemode: Codemode, notebook: Notebook) -> None:
    codemode.registry.register_tool("ping", lambda: 1)
    codemode.client.limits = codemode.client.limits.model_copy(update={"max_tool_calls": 5})
    notebook.open()
    assert notebook.run("for _ in range(3): ping()").ok
    result = notebook.run("for _ in range(3): ping()")
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "ToolCallLimit")


def test_cpu_is_a_total_of_the_session(codemode: Codemode, notebook: Notebook) -> None:
    codemode.client.limits = codemode.client.limits.model_copy(update={"max_cpu_seconds": 1})
    notebook.open()
    burn = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    runs = [notebook.run(burn)]
    # The kernel counts CPU time in ticks, ahead of or behind the real time.
    while runs[-1].ok and len(runs) < 20:
        runs.append(notebook.run(burn))
    assert len(runs) > 2
    assert runs[-1].error is not None
    assert (runs[-1].status, runs[-1].error.type) == ("limit", "CpuLimit")


def test_memory_is_a_total_of_the_session(codemode: Codemode, notebook: Notebook) -> None:
    limits = {"max_memory_bytes": 64 * 1024 * 1024}
    codemode.client.limits = codemode.client.limits.model_copy(update=limits)
    notebook.open()
    assert notebook.run("x = bytearray(40 * 1024 * 1024)\nNone").ok
    result = notebook.run("y = bytearray(40 * 1024 * 1024)\nNone")
    assert result.error is not None
    assert result.error.type == "MemoryLimit"


@pytest.mark.no_retry
def test_thread_of_an_earlier_run_gets_nothing(codemode: Codemode, notebook: Notebook) -> None:
    calls: list[str] = []

    def note(text: str) -> None:
        calls.append(text)

    codemode.registry.register_tool("note", note)
    first = """
import threading, time
outcomes, later = [], False
def leftover():
    while not later:
        time.sleep(0.01)
    for attempt in range(3):
        try:
            note(text='leftover')
        except BaseException as error:
            outcomes.append(type(error).__name__)
        print('leftover speaks')
thread = threading.Thread(target=leftover, daemon=True)
thread.start()
note(text='first')
"""
    assert notebook.run(first).ok
    second = notebook.run("later = True\nnote(text='second')\nthread.join()\nresult = outcomes")
    assert second.ok
    assert len(second.value) == 3
    assert calls == ["first", "second"]
    assert second.stdout == ""
    assert [call.arguments["text"] for call in second.tool_calls] == ["second"]


@pytest.mark.no_retry
def test_task_of_an_earlier_run_gets_nothing(codemode: Codemode, notebook: Notebook) -> None:
    calls: list[str] = []

    async def note(text: str) -> None:
        calls.append(text)

    codemode.registry.register_tool("note", note)
    first = """
import asyncio
later = asyncio.Event()
async def leftover():
    await later.wait()
    await note(text='leftover')
task = asyncio.ensure_future(leftover())
await note(text='first')
"""
    assert notebook.run(first).ok
    assert notebook.run("later.set()\nawait asyncio.wait([task])\nawait note(text='second')").ok
    assert calls == ["first", "second"]


def test_sandbox_dies_with_the_block(notebook: Notebook) -> None:
    name = notebook.run(f"{WHO}who()").value
    assert is_running(name)
    notebook.close()
    assert wait_until(lambda: not is_running(name))


def test_closed_session_refuses(codemode: Codemode) -> None:
    with codemode.session() as session:
        assert session.run("1").value == 1
    with pytest.raises(ExecutorClientError, match="block has ended"):
        session.run("2")
    with pytest.raises(ExecutorClientError, match="opened once"):
        session.__enter__()


@pytest.fixture
async def async_session(codemode: Codemode) -> AsyncIterator[Session]:
    async with codemode.session() as session:
        yield session


async def test_halves_do_not_mix(async_session: Session) -> None:
    with pytest.raises(ExecutorClientError, match="`with codemode.session"):
        async_session.run("1")


def test_unopened_session_refuses(codemode: Codemode) -> None:
    with pytest.raises(ExecutorClientError, match="needs a session opened"):
        codemode.session().run("1")


def test_session_may_be_used_from_thread_to_thread(codemode: Codemode) -> None:
    values: list[Any] = []
    with codemode.session() as session:
        for number in range(3):
            thread = threading.Thread(
                target=lambda n=number: values.append(session.run(str(n)).value)
            )
            thread.start()
            thread.join(60)
    assert values == [0, 1, 2]


def test_session_of_another_loop_is_refused_and_goes_on(codemode: Codemode) -> None:
    loop = asyncio.new_event_loop()
    session = codemode.session()
    try:
        loop.run_until_complete(session.__aenter__())
        assert loop.run_until_complete(session.run_async("x = 1\nx")).value == 1
        with pytest.raises(ExecutorClientError, match="belongs to the event loop that opened it"):
            asyncio.run(session.run_async("x"))
        assert loop.run_until_complete(session.run_async("x")).value == 1
    finally:
        loop.run_until_complete(session.__aexit__(None, None, None))
        loop.close()


def test_run_of_a_session_that_another_thread_closes_is_cancelled(codemode: Codemode) -> None:
    running = threading.Event()
    codemode.registry.register_tool("running", running.set)
    session = codemode.session()
    session.__enter__()

    def close() -> None:
        assert running.wait(60)
        session.__exit__(None, None, None)

    closer = threading.Thread(target=close)
    closer.start()
    result = session.run("import time\nrunning()\ntime.sleep(600)", execution_timeout=600)
    closer.join()
    assert result.status == "cancelled"
    assert result.error is not None
    assert result.error.message == "the session was closed"


def test_code_over_its_limit_keeps_the_session(notebook: Notebook) -> None:
    notebook.run("x = 1")
    assert notebook.run("#" * 300_000).status == "limit"
    assert notebook.run("x").value == 1


def test_a_run_of_a_session_can_be_followed(codemode: Codemode) -> None:
    with codemode.session() as session:
        assert session.run("n = 1").ok
        events = list(session.stream("print(n)\nprogress(1, 2)\nn + 1", inputs={"m": 1}))
        assert [event.type for event in events] == ["started", "output", "progress", "completed"]
        assert session.run("n + m").value == 2


async def test_a_run_of_a_session_can_be_followed_by_a_task(codemode: Codemode) -> None:
    async with codemode.session() as session:
        assert (await session.run_async("n = 1")).ok
        types = [event.type async for event in session.stream("print(n)")]
        assert types == ["started", "output", "completed"]
        assert (await session.run_async("n")).value == 1


def test_leaving_a_followed_run_at_its_last_event_keeps_the_session(codemode: Codemode) -> None:
    with codemode.session() as session:
        with session.stream("n = 1") as events:
            for event in events:
                if event.type == "completed":
                    break
        assert session.run("n").value == 1


def test_leaving_a_followed_run_before_its_end_ends_the_session(codemode: Codemode) -> None:
    with codemode.session() as session:
        with session.stream("while True: pass") as events:
            assert next(iter(events)).type == "started"
        with pytest.raises(ExecutorClientError, match="its last run raised GeneratorExit"):
            session.run("1")


def test_inputs_that_cannot_travel_leave_the_session_open(notebook: Notebook) -> None:
    with pytest.raises(ValueEncodingError):
        notebook.run("1", inputs={"a": object()})
    assert notebook.run("1").value == 1
