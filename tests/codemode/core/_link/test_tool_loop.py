"""The loop of the sync half's async tools delays nobody, whatever its tools do."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codemode import Codemode
from codemode.core.event_stream import EventStream
from tests.support.observers import Watcher
from tests.support.processes import wait_until


@pytest.fixture(autouse=True)
def no_loop_is_left() -> Iterator[None]:
    yield
    assert wait_until(lambda: not loops())


def loops() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "codemode-tools"]


def begun(codemode: Codemode, tool: str) -> EventStream:
    """Open a stream whose code waits for an async tool that is already running."""
    stream = codemode.stream(
        f"import asyncio\ncall = asyncio.create_task({tool}())\n"
        "await asyncio.sleep(0.1)\nprint('it has been called')\nawait call"
    )
    for event in stream:
        if event.type == "output":
            break
    return stream


def test_a_tool_that_blocks_its_loop_does_not_hold_up_the_caller(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("codemode.core._link.tool_loop.UNWIND_SECONDS", 0.1)
    go = threading.Event()
    ended = []

    async def block() -> None:
        go.wait(30)
        ended.append(True)

    codemode.registry.register_tool("block", block)
    try:
        result = codemode.run("await block()", execution_timeout=3)
        assert result.status == "timeout"
        assert not ended
        assert [call.outcome for call in result.tool_calls] == ["running"]
        assert "1 async tools go on" in caplog.text
        assert codemode.run("6 * 7").value == 42
    finally:
        go.set()


def test_a_tool_that_continues_gets_no_thread_of_a_caller_that_has_left(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codemode.core._link.tool_loop.UNWIND_SECONDS", 0.1)
    go = threading.Event()
    refused: list[str] = []

    async def stubborn() -> None:
        while not go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass
        try:
            await sync_to_async(refused.append)("not refused")
        except RuntimeError as error:
            refused.append(str(error))

    codemode.registry.register_tool("stubborn", stubborn)
    try:
        begun(codemode, "stubborn").close()
        assert len(loops()) == 1
    finally:
        go.set()
    assert wait_until(lambda: len(refused) == 1)
    assert "its caller's thread runs no sync code" in refused[0]


def test_a_stream_that_another_thread_closes_takes_no_thread_for_the_callers(
    codemode: Codemode,
) -> None:
    """The caller's thread has, for example, a database connection that belongs to somebody else."""
    entered = threading.Event()
    threads: list[Any] = []

    async def hang() -> None:
        entered.set()
        try:
            await asyncio.sleep(600)
        finally:
            threads.append("unwound")
            threads.append(await sync_to_async(threading.get_ident)())

    codemode.registry.register_tool("hang", hang)
    stream = begun(codemode, "hang")
    assert entered.wait(60)
    closing = threading.Thread(target=stream.close)
    closing.start()
    closing.join()
    assert wait_until(lambda: not loops())
    assert threads == ["unwound"]


def test_a_stream_that_is_collected_in_its_own_loop_ends(codemode: Codemode) -> None:
    """The garbage collector may run in any thread, and must not wait there."""
    watcher = Watcher()
    codemode.registry.add_observer(watcher)
    go, collected = threading.Event(), threading.Event()

    async def collect() -> None:
        while not go.is_set():
            await asyncio.sleep(0.01)
        gc.collect()
        collected.set()

    codemode.registry.register_tool("collect", collect)

    def forget() -> None:
        cycle: list[Any] = [begun(codemode, "collect")]
        cycle.append(cycle)

    gc.disable()
    try:
        forget()
        go.set()
        assert collected.wait(30)
    finally:
        gc.enable()
    assert wait_until(lambda: not loops())
    assert watcher.status() == "cancelled"
