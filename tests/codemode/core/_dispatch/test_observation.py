"""Observers receive each execution's begin and, exactly once, its end."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codemode import (
    ClientConfig,
    Codemode,
    ConfigurationError,
    ExecutorClientError,
    Limits,
)
from codemode.core.hooks import Execution
from codemode.errors import ExecutorConnectionError, ValueEncodingError
from tests.support.halves import Half
from tests.support.observers import Watcher
from tests.support.processes import wait_until


@pytest.fixture
def watcher(codemode: Codemode) -> Watcher:
    watcher = Watcher()
    codemode.registry.add_observer(watcher)
    return watcher


def test_observers_receive_the_whole_description_of_an_execution(
    codemode: Codemode, half: Half, watcher: Watcher
) -> None:
    codemode.registry.register_tool("add", lambda a, b: a + b)
    codemode.registry.register_tool("other", lambda: None)
    with codemode.registry.context(tenant_id="acme"):
        result = half.run(
            codemode, "add(n, 1)", inputs={"n": 1}, available_tools=["add"], execution_timeout=9
        )

    execution, told, error = watcher.only()
    assert (told, error) == (result, None)
    assert result.value == 2
    assert execution.execution_id == result.execution_id
    assert (execution.code, execution.inputs) == ("add(n, 1)", {"n": 1})
    assert execution.context == {"tenant_id": "acme"}
    assert list(execution.tools) == ["add"]
    assert execution.execution_timeout == 9
    assert execution.session is False
    assert "add(n" not in repr(execution)


def test_the_begin_precedes_the_code_and_the_end_precedes_the_callers_result(
    codemode: Codemode, half: Half
) -> None:
    order: list[str] = []

    class Ordered(Watcher):
        def execution_started(self, execution: Execution) -> None:
            order.append("started")

        def execution_finished(self, *args: Any) -> None:
            order.append("finished")

    codemode.registry.register_tool("note", lambda: order.append("code"))
    codemode.registry.add_observer(Ordered())
    half.run(codemode, "note()")
    order.append("caller")

    assert order == ["started", "code", "finished", "caller"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("1/0", "failed"), ("while True: pass", "timeout"), ("import os; os._exit(1)", "crashed")],
)
def test_the_end_is_reported_once_whatever_the_outcome_of_the_code(
    codemode: Codemode, half: Half, watcher: Watcher, code: str, status: str
) -> None:
    half.run(codemode, code, execution_timeout=1 if status == "timeout" else 60)
    assert watcher.status() == status


def test_code_that_is_too_large_begins_and_ends(
    codemode: Codemode, half: Half, watcher: Watcher
) -> None:
    codemode.client.limits = Limits(max_code_bytes=10)
    half.run(codemode, "#" * 11)
    assert watcher.status() == "limit"


def test_a_failure_outside_the_code_is_reported(half: Half) -> None:
    watcher = Watcher()
    config = ClientConfig(executor_url="http://127.0.0.1:1", connect_timeout=0.2)
    with Codemode.from_client_config(config) as codemode:
        codemode.registry.add_observer(watcher)
        with pytest.raises(ExecutorConnectionError) as caught:
            half.run(codemode, "1")
    # Once, although the client has tried several times.
    _, result, error = watcher.only()
    assert result is None
    assert error is caught.value


def test_inputs_that_cannot_travel_are_reported(
    codemode: Codemode, half: Half, watcher: Watcher
) -> None:
    with pytest.raises(ValueEncodingError):
        half.run(codemode, "1", inputs={"a": object()})
    assert isinstance(watcher.only()[2], ValueEncodingError)


def test_a_call_that_names_an_unknown_tool_begins_nothing(
    codemode: Codemode, half: Half, watcher: Watcher
) -> None:
    with pytest.raises(ConfigurationError):
        half.run(codemode, "1", available_tools=["no_such"])
    assert not watcher.log


class TestGivingUp:
    def test_a_stream_that_is_left_early_is_cancelled(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        codemode.registry.register_tool("touch", lambda: None)
        with codemode.stream("touch()\nwhile True: pass") as events:
            for event in events:
                if event.type == "tool_call_finished":
                    break

        assert watcher.status() == "cancelled"
        result = watcher.finished[0][1]
        assert result is not None
        assert [call.name for call in result.tool_calls] == ["touch"]

    def test_leaving_a_stream_after_its_end_changes_nothing(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        with codemode.stream("7") as events:
            for event in events:
                if event.type == "completed":
                    break
        assert watcher.status() == "completed"

    def test_a_stream_that_is_dropped_ends_as_well(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        events = iter(codemode.stream("while True: pass"))
        next(events)
        del events
        gc.collect()
        assert watcher.status() == "cancelled"

    async def test_a_stream_that_a_task_leaves_early_is_cancelled(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        async with codemode.stream("while True: pass") as events:
            async for _ in events:
                break
        assert watcher.status() == "cancelled"

    async def test_a_task_that_is_cancelled_reports_before_it_ends(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        task = asyncio.create_task(codemode.run_async("while True: pass"))
        while not watcher.started:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert watcher.status() == "cancelled"

    @pytest.mark.parametrize("held", ["started", "finished"])
    async def test_a_task_that_is_cancelled_repeatedly_reports_once(
        self, codemode: Codemode, held: str
    ) -> None:
        reached, release = threading.Event(), threading.Event()

        class Slow(Watcher):
            def execution_started(self, execution: Execution) -> None:
                super().execution_started(execution)
                self._hold("started")

            def execution_finished(self, *args: Any) -> None:
                super().execution_finished(*args)
                self._hold("finished")

            def _hold(self, where: str) -> None:
                if where == held:
                    reached.set()
                    assert release.wait(60)

        slow = Slow()
        codemode.registry.add_observer(slow)
        task = asyncio.create_task(codemode.run_async("1"))
        assert await asyncio.to_thread(reached.wait, 60)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert slow.status() == ("cancelled" if held == "started" else "completed")

    def test_an_interrupt_of_the_caller_is_reported(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        codemode.registry.register_tool("interrupt", interrupt)
        with pytest.raises(KeyboardInterrupt):
            codemode.run("interrupt()")
        assert watcher.status() == "cancelled"

    def test_closing_the_client_cancels(
        self, codemode: Codemode, half: Half, watcher: Watcher
    ) -> None:
        def close() -> None:
            threading.Thread(target=codemode.close).start()

        codemode.registry.register_tool("close", close)
        half.run(codemode, "close()\nwhile True: pass")
        assert watcher.status() == "cancelled"


class Held:
    """Sync code that holds its thread until it is released."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()
        self.ended = False

    def __call__(self) -> None:
        self.inside.set()
        self.go.wait(30)
        self.ended = True


class TestAThreadForSyncCodeThatIsHeld:
    """A held thread for sync code, for which a task does not wait at the end of an execution."""

    @pytest.fixture(autouse=True)
    def watched(self, codemode: Codemode, watcher: Watcher) -> Iterator[Held]:
        held = Held()
        codemode.registry.register_tool("hold", held)
        yield held
        held.go.set()

    @pytest.mark.parametrize("status", ["timeout", "cancelled"])
    async def test_by_a_tool_of_the_execution_the_end_is_told_later(
        self, codemode: Codemode, watcher: Watcher, watched: Held, status: str
    ) -> None:
        seconds = 3 if status == "timeout" else 600
        run = asyncio.create_task(codemode.run_async("hold()", execution_timeout=seconds))
        assert await asyncio.to_thread(watched.inside.wait, 60)
        if status == "cancelled":
            run.cancel()
        await asyncio.wait((run,))

        assert not watched.ended
        assert len(watcher.started) == 1
        assert not watcher.finished
        watched.go.set()
        assert await asyncio.to_thread(wait_until, lambda: bool(watcher.finished))
        assert watcher.status() == status

    async def test_the_end_is_reported_later_when_other_code_holds_it(
        self,
        codemode: Codemode,
        watcher: Watcher,
        watched: Held,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("codemode.core._dispatch.observation.UNWIND_SECONDS", 0.1)
        others: list[asyncio.Task[None]] = []

        async def let_others_hold_it() -> None:
            others.append(asyncio.create_task(sync_to_async(watched)()))
            assert await asyncio.to_thread(watched.inside.wait, 60)

        codemode.registry.register_tool("let_others_hold_it", let_others_hold_it)
        assert (await codemode.run_async("await let_others_hold_it()")).ok

        assert not watched.ended
        assert not watcher.finished
        watched.go.set()
        assert await asyncio.to_thread(wait_until, lambda: bool(watcher.finished))
        assert watcher.status() == "completed"
        await others[0]

    async def test_a_task_that_is_cancelled_before_the_begin_reports_nothing(
        self, codemode: Codemode, watcher: Watcher, watched: Held
    ) -> None:
        other = asyncio.create_task(sync_to_async(watched)())
        assert await asyncio.to_thread(watched.inside.wait, 60)
        run = asyncio.create_task(codemode.run_async("1"))
        await asyncio.sleep(0.1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert not watched.ended
        watched.go.set()
        await other
        await sync_to_async(len)(())  # queued behind everything else that waits for the thread
        assert not watcher.log

    def test_the_end_is_reported_even_when_the_loop_ends_first(
        self, codemode: Codemode, watcher: Watcher, watched: Held
    ) -> None:
        async def main() -> None:
            await codemode.run_async("hold()", execution_timeout=3)
            assert not watcher.finished
            asyncio.get_running_loop().call_later(0.1, watched.go.set)

        asyncio.run(main())
        assert watcher.status() == "timeout"


class TestSessions:
    def test_each_run_is_an_execution(self, codemode: Codemode, watcher: Watcher) -> None:
        with codemode.session() as session:
            results = [session.run("n = 1"), session.run("n + 1"), session.run("1/0")]

        assert [one.execution_id for one in watcher.started] == [
            one.execution_id for one in results
        ]
        assert [told for _, told, _ in watcher.finished] == results
        assert {execution.session for execution in watcher.started} == {True}

    async def test_each_run_of_a_task_is_an_execution(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        async with codemode.session() as session:
            results = [await session.run_async("1"), await session.run_async("2")]
        assert [told for _, told, _ in watcher.finished] == results

    def test_a_run_that_is_refused_begins_nothing(
        self, codemode: Codemode, watcher: Watcher
    ) -> None:
        with (
            codemode.session() as session,
            codemode.registry.context(tenant_id="other"),
            pytest.raises(ConfigurationError),
        ):
            session.run("1")
        with pytest.raises(ExecutorClientError):
            session.run("1")
        assert not watcher.log


def test_observers_receive_the_end_in_reverse_order(codemode: Codemode, half: Half) -> None:
    log: list[tuple[str, str]] = []
    for name in ("one", "two"):
        codemode.registry.add_observer(Watcher(name, log))
    half.run(codemode, "1")
    assert log == [("started", "one"), ("started", "two"), ("finished", "two"), ("finished", "one")]


def test_an_observer_added_or_removed_meanwhile_receives_both_events_or_none(
    codemode: Codemode, half: Half, watcher: Watcher
) -> None:
    late = Watcher()

    def change() -> None:
        codemode.registry.remove_observer(watcher)
        codemode.registry.add_observer(late)

    codemode.registry.register_tool("change", change)
    half.run(codemode, "change()")
    watcher.only()
    assert not late.log


def test_an_observer_that_breaks_is_logged_and_changes_nothing(
    codemode: Codemode, half: Half, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def execution_started(self, execution: Execution) -> None:
            raise LookupError("at the begin")

        def execution_finished(self, *args: Any) -> None:
            raise LookupError("at the end")

    codemode.registry.add_observer(Broken())
    codemode.registry.add_observer(last := Watcher())
    assert half.run(codemode, "7").value == 7
    assert watcher.status() == last.status() == "completed"
    assert "at the begin" in caplog.text
    assert "at the end" in caplog.text


def test_observers_of_a_thread_run_in_that_thread(codemode: Codemode, watcher: Watcher) -> None:
    codemode.run("1")
    assert watcher.threads == {threading.get_ident()}


async def test_observers_of_a_task_run_on_the_thread_for_sync_code(
    codemode: Codemode, watcher: Watcher
) -> None:
    await codemode.run_async("1")
    assert watcher.threads == {await sync_to_async(threading.get_ident)()}
    assert watcher.threads != {threading.get_ident()}


async def test_no_thread_is_used_without_observers(
    codemode: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a thread was asked")

    monkeypatch.setattr("codemode.core._dispatch.observation.on_sync_thread", refuse)
    assert (await codemode.run_async("7")).value == 7


def test_an_observer_is_added_once_and_removed_once(codemode: Codemode) -> None:
    watcher = Watcher()
    codemode.registry.add_observer(watcher)
    codemode.registry.add_observer(watcher)
    assert codemode.registry.observers == (watcher,)
    codemode.registry.remove_observer(watcher)
    with pytest.raises(ConfigurationError, match="never added"):
        codemode.registry.remove_observer(watcher)
