from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from codemode.core._dispatch.threads import tool_pool
from codemode.core.hooks import ToolOutcome
from codemode.tools import ToolError, tool
from codemode.values import encode
from tests.codemode.core._dispatch.dispatch_host import Host, add, failure_of, slow_add, value_of


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "expected", "logged"),
    [
        (ToolError("out of stock"), ("error", "ToolError", "out of stock"), False),
        (KeyError("x"), ("error", "KeyError", "'x'"), True),
        (SystemExit(3), ("error", "SystemExit", "3"), True),
        (asyncio.CancelledError(), ("error", "CancelledError", ""), True),
        (ValueError("\ud800"), ("error", "ValueError", "\\ud800"), True),
        (BrokenError(), ("error", "BrokenError", ""), True),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_an_error_of_a_tool_travels_as_type_and_text(
    error: BaseException,
    expected: tuple[str, str, str],
    logged: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    host = Host(fail=fail, fail_async=fail_async)
    assert failure_of(host.sync("fail")) == expected
    assert failure_of(await host.task("fail_async")) == expected
    assert failure_of(await host.task("fail")) == expected
    assert failure_of(host.pool("fail")) == expected
    assert host.outcomes == ["failed"] * 4
    assert [one.name for one in caplog.records if one.exc_info] == (
        ["codemode.tools"] * 4 if logged else []
    )


def test_long_messages_are_truncated() -> None:
    def fail() -> None:
        raise ValueError("x" * 100_000)

    host = Host(fail=fail)
    assert len(failure_of(host.sync("fail"))[2]) < 5_000
    assert len(host.current.records()[0].error or "") < 600


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_an_error_that_is_not_an_exception_propagates_and_is_recorded(error: BaseException) -> None:
    def fail() -> None:
        raise error

    host = Host(fail=fail)
    with pytest.raises(type(error)):
        host.sync("fail")
    assert host.outcomes == ["failed"]


async def test_a_value_that_cannot_travel_is_reported_with_its_path() -> None:
    def bad() -> Any:
        return {"items": [1, object()]}

    async def bad_async() -> Any:
        return bad()

    host = Host(bad=bad, bad_async=bad_async)
    for outcome in (host.sync("bad"), host.pool("bad"), await host.task("bad_async")):
        kind, type_name, message = failure_of(outcome)
        assert (kind, type_name) == ("error", "ValueEncodingError")
        assert "()['items'][1]" in message


def test_a_value_over_the_limit_is_refused() -> None:
    host = Host(large=lambda: "x" * 200_000)

    assert failure_of(host.sync("large"))[1] == "ValueEncodingError"


def test_a_sync_tool_that_returns_a_coroutine_gets_the_fix() -> None:
    def forgot() -> Awaitable[int]:
        return slow_add(1)

    assert "declare it with async def" in failure_of(Host(forgot=forgot).sync("forgot"))[2]


async def test_async_tools_are_refused_where_only_sync_ones_can_run() -> None:
    host = Host(slow_add=slow_add, add=add)
    call = host.begin("slow_add", {"a": 1})
    for run in (host.current.call_sync, host.current.run_in_pool):
        with pytest.raises(TypeError, match="asynchronous"):
            run(call)
    assert value_of(await host.current.call_in_async_half(call)) == 3


def test_records_are_complete_but_keep_a_bounded_part_of_the_arguments() -> None:
    host = Host(echo=lambda text: None)
    host.dispatcher(max_value_bytes=1_000_000)
    for size in (600_000, 600_000, 10):
        host.sync("echo", {"text": "x" * size})

    first, second, third = host.current.records()
    assert len(first.arguments["text"]) == 600_000
    assert "left out of the record" in second.arguments["..."]
    assert third.arguments == {"text": "x" * 10}


def test_records_are_in_order_and_calls_begin_from_many_threads() -> None:
    host = Host(add=add)
    dispatcher = host.dispatcher()

    def work(worker: int) -> None:
        for number in range(50):
            call = dispatcher.begin(worker * 100 + number, "add", encode({"a": number}))
            assert value_of(dispatcher.call_sync(call)) == number + 2

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    records = dispatcher.records()
    assert len(records) == 200
    assert {one.outcome for one in records} == {"completed"}
    of_one = [one.call_id for one in records if one.call_id < 100]
    assert of_one == sorted(of_one)


async def test_housekeeping_runs_in_the_pool_thread_before_and_after_each_tool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    threads: list[int] = []

    def tidy() -> None:
        threads.append(threading.get_ident())

    def broken() -> None:
        raise RuntimeError("broken housekeeping")

    where = tool(thread_sensitive=False)(lambda: threading.get_ident())
    host = Host(where=where, add=add)
    host.registry.extensions.pool_housekeeping += [broken, tidy]

    first = value_of(host.pool("where"))
    second = value_of(await host.task("where"))
    host.sync("add", {"a": 1})
    await host.task("add", {"a": 1})
    assert threads == [first, first, second, second]
    assert "broken housekeeping" in caplog.text


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_pool_and_sync_thread_are_new_after_a_fork() -> None:
    @tool(thread_sensitive=False)
    def in_pool() -> int:
        return 1

    host = Host(in_pool=in_pool, add=add)
    parent_pool = tool_pool()
    assert value_of(host.pool("in_pool")) == 1
    assert value_of(asyncio.run(_run(host, "add", {"a": 1}))) == 3

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            good = tool_pool() is not parent_pool and value_of(host.pool("in_pool")) == 1
            good = good and value_of(asyncio.run(_run(host, "add", {"a": 1}))) == 3
            code = 0 if good else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            pytest.fail("the forked child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert tool_pool() is parent_pool


async def _run(host: Host, name: str, arguments: dict[str, Any]) -> ToolOutcome:
    return await host.task(name, arguments)


def test_what_a_tool_does_to_its_arguments_does_not_change_the_record() -> None:
    def spoil(items: list[int], more: Any) -> None:
        items.append(4)
        more["x"] = 1

    host = Host(spoil=spoil)
    assert value_of(host.sync("spoil", {"items": [1], "more": {}})) is None
    assert host.current.records()[0].arguments == {"items": [1], "more": {}}
