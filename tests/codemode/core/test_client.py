"""Both halves of the client run tools as promised: where, when and in which context."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

import codemode.core._link.inside_loop as inside_loop
from codemode import (
    Codemode,
    ConfigurationError,
    ExecutionResult,
    InvalidRequestError,
    Limits,
    RuntimeContext,
    get_current_context,
    get_current_execution,
    tool,
)
from codemode.config import MAX_SECONDS
from codemode.core._dispatch.pool_share import MAX_SHARE_THREADS
from codemode.errors import ExecutorRequestError
from tests.support.halves import Half
from tests.support.processes import wait_until


def register(codemode: Codemode, *tools: Any) -> None:
    for one in tools:
        codemode.registry.register_tool(one.__name__, one)


def test_gather_over_async_tools_is_concurrent(codemode: Codemode, half: Half) -> None:
    async def slow(n: int) -> int:
        await all_at_once.wait()
        return n

    all_at_once = asyncio.Barrier(10)
    register(codemode, slow)
    code = "import asyncio\nawait asyncio.gather(*(slow(i) for i in range(10)))"
    result = half.run(codemode, code)
    assert result.value == list(range(10))
    assert len(result.tool_calls) == 10


def test_sync_tools_in_the_pool_are_concurrent(codemode: Codemode, half: Half) -> None:
    @tool(thread_sensitive=False)
    def slow(n: int) -> str:
        all_at_once.wait(60)
        return threading.current_thread().name

    all_at_once = threading.Barrier(8)
    register(codemode, slow)
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool: names = list(pool.map(slow, range(8)))\n"
        "result = names"
    )
    result = half.run(codemode, code, execution_timeout=100)
    assert result.ok, result.error
    assert len(set(result.value)) == 8
    assert all(name.startswith("codemode-tool") for name in result.value)


def test_call_that_the_code_cancels_is_cancelled_in_the_host(
    codemode: Codemode, half: Half
) -> None:
    ends: list[str] = []
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        finally:
            ends.append("finally")
            ended.set()

    register(codemode, endless)
    codemode.registry.register_tool("begun", begun.wait)
    codemode.registry.register_tool("ended", ended.wait)
    code = (
        "import asyncio\n"
        "task = asyncio.ensure_future(endless())\n"
        "await begun()\n"
        "try:\n    await asyncio.wait_for(task, 0.01)\n"
        "except TimeoutError:\n    result = 'gave up'\n"
        # Awaited inside the run: the cancellation must not come only at its end.
        "await ended()\n"
    )
    result = half.run(codemode, code)
    assert result.value == "gave up", result.error
    assert ends == ["cancelled", "finally"]
    outcomes = {call.name: call.outcome for call in result.tool_calls}
    assert outcomes == {"endless": "cancelled", "begun": "completed", "ended": "completed"}


@pytest.mark.parametrize(
    "ending, status",
    [("result = 1", "completed"), ("time.sleep(600)", "timeout"), ("1/0", "failed")],
)
def test_tools_still_running_at_the_end_are_cancelled(
    codemode: Codemode, half: Half, ending: str, status: str
) -> None:
    ends: list[str] = []
    begun = asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            ends.append("finally")

    register(codemode, endless)
    codemode.registry.register_tool("begun", begun.wait)
    code = f"import asyncio, time\ntask = asyncio.ensure_future(endless())\nawait begun()\n{ending}"
    # Long enough for everything before the ending.
    result = half.run(codemode, code, execution_timeout=3 if status == "timeout" else 60)
    assert result.status == status
    assert ends == ["finally"]
    outcomes = {call.name: call.outcome for call in result.tool_calls}
    assert outcomes == {"endless": "cancelled", "begun": "completed"}


@pytest.fixture
def web_address() -> Iterator[str]:
    """Yield the address of a real web server that returns the port of each request's connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = str(self.client_address[1]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_tools_of_a_run_share_one_async_http_client(
    codemode: Codemode, half: Half, web_address: str
) -> None:
    clients: list[httpx.AsyncClient] = []

    async def fetch() -> str:
        if not clients:
            clients.append(httpx.AsyncClient())
        return (await clients[0].get(web_address)).text

    async def close() -> None:
        await clients[0].aclose()

    register(codemode, fetch, close)
    code = (
        "import asyncio\n"
        "ports = [await fetch() for _ in range(3)]\n"
        "ports += await asyncio.gather(*(fetch() for _ in range(5)))\n"
        "await close()\n"
        "result = ports"
    )
    result = half.run(codemode, code)
    assert result.ok, result.error
    assert len(result.value) == 8
    assert len(set(result.value[:3])) == 1  # one connection, kept alive


def test_sync_tool_runs_in_the_callers_thread(codemode: Codemode) -> None:
    threads: list[int] = []

    def note() -> None:
        threads.append(threading.get_ident())

    async def note_async() -> None:
        await sync_to_async(note)()

    register(codemode, note, note_async)
    assert codemode.run("note()\nawait note_async()\nnote()\nawait note_async()").ok
    assert threads == [threading.get_ident()] * 4


async def test_sync_tool_runs_in_the_thread_for_sync_code(codemode: Codemode) -> None:
    threads: list[int] = []

    def note() -> None:
        threads.append(threading.get_ident())

    async def note_async() -> None:
        await sync_to_async(note)()

    register(codemode, note, note_async)
    await sync_to_async(note)()
    assert (await codemode.run_async("note()\nawait note_async()\nnote()")).ok
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_async_tool_runs_in_the_callers_loop(codemode: Codemode) -> None:
    async def same() -> bool:
        return asyncio.get_running_loop() is loop

    loop = asyncio.get_running_loop()
    register(codemode, same)
    assert (await codemode.run_async("await same()")).value is True


def test_call_given_up_while_it_is_answered_keeps_the_run(codemode: Codemode, half: Half) -> None:
    async def quick() -> None:
        await asyncio.sleep(0.002)

    register(codemode, quick)
    code = (
        "import asyncio, random\n"
        "for _ in range(300):\n"
        "    try: await asyncio.wait_for(quick(), random.uniform(0.0015, 0.005))\n"
        "    except TimeoutError: pass\n"
        "result = 'whole'"
    )
    assert half.run(codemode, code, execution_timeout=100).value == "whole"


def test_pool_tools_that_have_not_begun_do_not_run_after_the_end(
    codemode: Codemode, half: Half
) -> None:
    begun: list[int] = []
    go = threading.Event()

    @tool(thread_sensitive=False)
    def slow(n: int) -> None:
        begun.append(n)
        go.wait(60)

    async def share_is_taken() -> None:
        while len(begun) < MAX_SHARE_THREADS:
            await asyncio.sleep(0.01)

    register(codemode, slow, share_is_taken)
    code = (
        "import os, threading, time\n"
        "calling = []\n"
        "def call(n):\n    calling.append(n)\n    slow(n)\n"
        "for n in range(60): threading.Thread(target=call, args=(n,), daemon=True).start()\n"
        "while len(calling) < 60: time.sleep(0.01)\n"
        "await share_is_taken()\nos._exit(1)"
    )
    codemode.client.limits = Limits(max_threads=64, max_memory_bytes=1024 * 1024 * 1024)
    result = half.run(codemode, code)
    assert result.status == "crashed"
    assert len(begun) == MAX_SHARE_THREADS
    waiting = [call for call in result.tool_calls if call.outcome == "cancelled"]
    assert len(waiting) > 0
    go.set()
    # Calls that still wait would be served before this one.
    assert half.run(codemode, "slow(99)").ok
    assert begun[MAX_SHARE_THREADS:] == [99]


note_variable: contextvars.ContextVar[str] = contextvars.ContextVar("note", default="unset")


@pytest.mark.parametrize("call", ["set_it", "await set_async", "set_in_pool"])
def test_what_a_tool_sets_is_seen_by_nobody_else(codemode: Codemode, half: Half, call: str) -> None:
    seen: list[str] = []

    def set_it(value: str) -> None:
        seen.append(note_variable.get())
        note_variable.set(value)
        codemode.with_context(tenant=value)

    async def set_async(value: str) -> None:
        set_it(value)

    set_in_pool = tool(thread_sensitive=False)(lambda value: set_it(value))
    register(codemode, set_it, set_async)
    codemode.registry.register_tool("set_in_pool", set_in_pool)
    token = note_variable.set("caller")
    try:
        with codemode.registry.context(tenant="caller"):
            assert half.run(codemode, f"{call}('a')\n{call}('b')").ok
            assert seen == ["caller", "caller"]
            assert note_variable.get() == "caller"
            context = get_current_context()
            assert context is not None
            assert context["tenant"] == "caller"
    finally:
        note_variable.reset(token)


@pytest.mark.no_retry
@pytest.mark.parametrize("call", ["who()", "await who_async()", "who_in_pool()"])
def test_tool_sees_the_context_of_the_start(codemode: Codemode, half: Half, call: str) -> None:
    def who() -> tuple[Any, bool]:
        context, execution = get_current_context(), get_current_execution()
        assert context is not None
        assert execution is not None
        return context.get("tenant"), 0 < execution.deadline <= 30

    async def who_async() -> Any:
        return who()

    register(codemode, who, who_async)
    codemode.registry.register_tool("who_in_pool", tool(thread_sensitive=False)(lambda: who()))
    with codemode.registry.context(tenant="acme"):
        assert half.run(codemode, call).value == ("acme", True)
    assert get_current_execution() is None


class Held:
    """An object that a caller's context holds, such as a user."""


@pytest.mark.parametrize("code", ["1", "here()"])
def test_the_end_of_a_run_frees_the_callers_context(
    codemode: Codemode, half: Half, code: str
) -> None:
    """No cycle of references keeps the context until the garbage collector runs."""
    codemode.registry.register_tool("here", lambda: None)
    client, held = codemode.client, Held()
    freed = weakref.ref(held)
    context = RuntimeContext({"held": held})
    gc.disable()
    try:
        if half.name == "sync":
            result = client.execute(code, context=context)
        else:
            result = asyncio.run(client.execute_async(code, context=context))
        assert result.ok
        del held, context
        # The thread that reads the stream may hold it a little longer.
        assert wait_until(lambda: freed() is None, 10)
    finally:
        gc.enable()


@pytest.mark.no_retry
async def test_each_task_keeps_its_context(codemode: Codemode) -> None:
    async def tenant() -> str:
        await asyncio.sleep(0.01)
        context = get_current_context()
        assert context is not None
        return str(context["tenant"])

    async def request(number: int) -> None:
        codemode.with_context(tenant=f"t{number}")
        await asyncio.sleep(0.01)
        assert await codemode.execute_async("await tenant()") == f"t{number}"

    register(codemode, tenant)
    await asyncio.gather(*(request(number) for number in range(20)))


def test_tool_may_execute_code_itself(codemode: Codemode, half: Half) -> None:
    def outer(depth: int) -> int:
        return int(codemode.execute(f"outer({depth - 1}) + 1")) if depth else 0

    async def outer_async(depth: int) -> int:
        if not depth:
            return 0
        return int(await codemode.execute_async(f"await outer_async({depth - 1}) + 1"))

    register(codemode, outer, outer_async)
    assert half.run(codemode, "outer(3)").value == 3
    assert half.run(codemode, "await outer_async(3)").value == 3


async def test_execute_inside_a_running_loop_works_with_one_warning(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside_loop, "_warned_about_loop", False)
    threads: list[threading.Thread] = []

    def tenant() -> Any:
        threads.append(threading.current_thread())
        context = get_current_context()
        return context and context.get("tenant")

    register(codemode, tenant)
    codemode.with_context(tenant="acme")
    with pytest.warns(RuntimeWarning, match="execute_async") as warned:
        assert codemode.execute("tenant()") == "acme"
    assert [warning.filename for warning in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert codemode.execute("tenant()") == "acme"
    assert threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_one_client_serves_threads_and_loops_at_once(codemode: Codemode) -> None:
    outcomes: list[str] = []

    def from_thread(number: int) -> None:
        outcomes.append(codemode.execute(f"{number}"))

    async def from_loop(number: int) -> None:
        outcomes.extend(
            await asyncio.gather(*(codemode.execute_async(f"{number}") for _ in range(3)))
        )

    threads = [threading.Thread(target=from_thread, args=(n,)) for n in range(6)]
    threads += [threading.Thread(target=lambda n=n: asyncio.run(from_loop(n))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == sorted(
        [*map(str, range(6)), *(str(n) for n in range(3) for _ in "abc")]
    )


class Stop(BaseException):
    """An exception that is not an Exception, like those of test runners."""


@pytest.mark.parametrize("kind", ["async", "pool", "sync"])
def test_an_error_that_is_not_an_exception_reaches_the_caller_at_once(
    codemode: Codemode, half: Half, kind: str
) -> None:
    def stop() -> None:
        time.sleep(0.01)  # long enough for the run to wait for it
        raise Stop

    async def stop_async() -> None:
        stop()

    marked = tool(thread_sensitive=kind != "pool")(stop_async if kind == "async" else stop)
    codemode.registry.register_tool("stop", marked)
    with pytest.raises(Stop):
        half.run(codemode, "await stop()" if kind == "async" else "stop()")
    assert half.run(codemode, "1").value == 1


@pytest.mark.parametrize(
    "code, inputs, message",
    [
        (None, {}, "code is a NoneType; expected a str of Python"),
        (b"1", {}, "code is a bytes; expected a str of Python"),
        ("'\ud800'", {}, r"code has a lone surrogate '\\ud800' at 1"),
        ("1", {"result": 1}, "by which code returns its value"),
        ("1", {"a b": 1}, "expected a Python identifier"),
    ],
)
def test_an_invalid_request_is_refused_with_a_clear_message(
    codemode: Codemode, half: Half, code: Any, inputs: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        half.run(codemode, code, inputs=inputs)


async def test_a_large_result_becomes_text_outside_the_loop(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    for_model = ExecutionResult.for_model

    def text(result: ExecutionResult) -> str:
        threads.append(threading.get_ident())
        return for_model(result)

    monkeypatch.setattr(ExecutionResult, "for_model", text)
    assert await codemode.execute_async("list(range(3))") == "[0, 1, 2]"
    assert threads != [threading.get_ident()]


TIMES = ("execution_timeout", "queue_timeout", "idle_timeout")


def with_time(codemode: Codemode, half: Half, name: str, seconds: float) -> ExecutionResult:
    codemode.client.limits = Limits.parse({name: seconds})
    return half.run(codemode, "1")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("seconds", [9.3e9, 1e19, 1e300, 10**400, 10**5000], ids="abcde")
def test_a_time_that_no_clock_can_count_is_refused_at_once(
    codemode: Codemode, half: Half, name: str, seconds: float
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: ") as caught:
        with_time(codemode, half, name, seconds)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", TIMES)
def test_the_longest_time_is_refused_by_the_executor(
    codemode: Codemode, half: Half, name: str
) -> None:
    with pytest.raises(ExecutorRequestError, match=f"{name}=.* above this executor's ceiling"):
        with_time(codemode, half, name, MAX_SECONDS)


def test_the_longest_time_of_a_session_is_refused_by_the_executor(codemode: Codemode) -> None:
    with (
        codemode.session() as session,
        pytest.raises(ExecutorRequestError, match="above this executor's ceiling"),
    ):
        session.run("1", execution_timeout=MAX_SECONDS)
