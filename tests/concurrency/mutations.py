"""Mechanisms that the product loses on request, to prove that the tests here notice."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections

from codemode.core import codemode, context, registry
from codemode.core._dispatch import dispatcher as dispatch
from codemode.core._dispatch import observation, pool_share, threads
from codemode.core._dispatch import performer as perform
from codemode.core._grpc import channels
from codemode.core._link import async_carrier as async_half
from codemode.core._link import connection, inside_loop, request, tool_loop
from codemode.core._link import sync_carrier as sync_half
from codemode.tools.build import make_tool
from tests.support.mutations import Mutations, nothing, put

__all__ = ["MUTATIONS"]

STYLES = "concurrency/test_calling_styles.py"
GUARANTEES = "concurrency/test_guarantees.py"
CLOSE = "concurrency/test_close.py"
CANCELLATION = "concurrency/test_cancellation.py"
NESTING = "concurrency/test_nesting.py"

MUTATIONS = Mutations[str](__name__)
"""Each mutation with a test that fails without the mechanism."""


# Contexts


class Global:
    """A replacement of a ContextVar whose value is global."""

    def __init__(self) -> None:
        self._value: Any = None

    def get(self) -> Any:
        return self._value

    def set(self, value: Any) -> Any:
        before, self._value = self._value, value
        return before

    def reset(self, before: Any) -> None:
        self._value = before


@MUTATIONS.noticed_by(f"{GUARANTEES}::test_no_context_leaks_between_tasks_threads_and_loops")
def the_context_is_local_to_its_task() -> None:
    put(context, "_context", Global())


@MUTATIONS.noticed_by(
    f"{GUARANTEES}::test_tasks_that_share_a_context_cannot_change_it_for_each_other"
)
def contexts_cannot_be_changed() -> None:
    put(context, "MappingProxyType", lambda variables: variables)


@MUTATIONS.noticed_by(f"{STYLES}::test_tools_run_where_the_caller_is[plain threads-sync tool]")
def tools_run_in_the_context_of_the_caller() -> None:
    def context_for(self: Any, call_id: int, name: str) -> contextvars.Context:
        return contextvars.Context()

    put(dispatch.Dispatcher, "_context_for", context_for)


@MUTATIONS.noticed_by(
    f"{GUARANTEES}::test_context_that_changes_later_is_not_that_of_a_run_under_way"
)
def the_context_is_that_of_the_runs_begin() -> None:
    made = dispatch.Dispatcher._context_for

    def context_for(self: Any, call_id: int, name: str) -> contextvars.Context:
        self._runtime_context = context.get_current_context()
        return made(self, call_id, name)

    put(dispatch.Dispatcher, "_context_for", context_for)


@MUTATIONS.noticed_by(
    "codemode/core/_dispatch/test_dispatcher_context.py::test_what_a_sync_tool_sets_nobody_else_sees"
)
def each_tool_has_a_copy_of_the_context() -> None:
    made = dispatch.Dispatcher._context_for

    def context_for(self: Any, call_id: int, name: str) -> contextvars.Context:
        one: contextvars.Context = vars(self).setdefault("_one", made(self, call_id, name))
        return one

    put(dispatch.Dispatcher, "_context_for", context_for)


# Threads, loops and connections


@MUTATIONS.noticed_by(f"{STYLES}::test_tools_run_where_the_caller_is[sync view, WSGI-sync tool]")
def the_sync_half_needs_no_loop() -> None:
    pool = ThreadPoolExecutor(32)

    def run(self: Any, code: str, **options: Any) -> Any:
        return pool.submit(asyncio.run, self.run_async(code, **options)).result()

    put(codemode.Codemode, "run", run)


@MUTATIONS.noticed_by(f"{STYLES}::test_tools_run_where_the_caller_is[sync view, ASGI-async ORM]")
def the_sync_half_uses_the_callers_thread() -> None:
    pool = ThreadPoolExecutor(32)

    def run(self: Any, code: str, **options: Any) -> Any:
        coroutine = self.run_async(code, **options)
        return pool.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()

    put(codemode.Codemode, "run", run)


@MUTATIONS.noticed_by(f"{STYLES}::test_tools_run_where_the_caller_is[plain threads-async ORM]")
def async_tools_come_back_to_the_callers_thread() -> None:
    put(tool_loop, "ThreadSensitiveContext", lambda executor: contextlib.AsyncExitStack())


@MUTATIONS.noticed_by(f"{STYLES}::test_tools_run_where_the_caller_is[async view, ASGI-sync tool]")
def sync_tools_of_tasks_run_on_the_thread_for_sync_code() -> None:
    put(dispatch, "on_sync_thread", asyncio.to_thread)


@MUTATIONS.noticed_by(
    f"{STYLES}::test_tools_run_where_the_caller_is[execute() in a loop-sync tool]"
)
def execute_in_a_loop_has_a_thread() -> None:
    put(inside_loop, "call_in_worker_thread", lambda function, registry: function())


@MUTATIONS.noticed_by(
    "concurrency/test_pitfalls.py::test_asyncio_run_on_the_thread_for_sync_code_runs_it_there_instead_of_waiting_for_itself"
)
def sync_code_never_waits_for_its_own_thread() -> None:
    put(threads, "_sync_threads", tuple)


@MUTATIONS.noticed_by(
    "concurrency/test_pitfalls.py::test_the_default_executor_of_a_loop_is_left_to_the_project"
)
def the_default_executor_is_left_to_the_project() -> None:
    for module in (async_half, codemode, perform):
        put(module, "off_loop", asyncio.to_thread)


@MUTATIONS.noticed_by(
    "concurrency/test_nesting.py::test_pooled_tools_that_fill_the_pool_and_execute_code_do_not_starve_its_tools[sync]"
)
def each_depth_of_nesting_has_a_pool() -> None:
    put(pool_share, "tool_pool", lambda depth: threads.tool_pool(0))


@MUTATIONS.noticed_by(
    f"{STYLES}::test_tools_run_where_the_caller_is[asyncio.run again and again-async tool]"
)
def each_loop_has_a_channel() -> None:
    class OneForAll(dict[Any, Any]):
        def get(self, loop: Any, default: Any = None) -> Any:
            return next(iter(self.values()), default)

    made = channels.Channels.__init__

    def init(self: Any, *args: Any) -> None:
        made(self, *args)
        self._by_loop = OneForAll()

    put(channels.Channels, "__init__", init)
    put(channels.Channels, "_drop_closed_loops", nothing)


@MUTATIONS.noticed_by(
    "concurrency/test_channels_of_loops.py::test_loops_and_threads_leave_no_channel_descriptor_or_thread[loop_after_loop]"
)
def channels_of_closed_loops_are_dropped() -> None:
    put(channels.Channels, "_drop_closed_loops", nothing)


@MUTATIONS.noticed_by("database/test_connections.py::TestInARunningLoop")
def the_worker_thread_closes_its_connections() -> None:
    put(inside_loop, "call_each", nothing)


@MUTATIONS.noticed_by(
    "database/test_connections.py::TestPool::test_none_of_its_connections_is_left"
)
def pool_threads_close_their_connections() -> None:
    put(perform, "call_each", nothing)


@MUTATIONS.noticed_by("database/test_connections.py::ReleaseTests")
def a_connection_in_a_transaction_is_left_alone() -> None:
    from django_codemode import database

    # By replacing its code, because the registry holds the function itself.
    database.release_connections.__code__ = release_all.__code__


def release_all() -> None:
    for one in connections.all(initialized_only=True):
        one.close_if_unusable_or_obsolete()


# Registration


@MUTATIONS.noticed_by(
    "concurrency/test_registration.py::test_a_run_keeps_the_tools_with_which_it_began"
)
def readers_get_snapshots() -> None:
    made = registry.ComponentRegistry.__init__

    def init(self: Any) -> None:
        made(self)
        self._tools = {}

    def register_tool(self: Any, name: Any, tool: Any, *, overwrite: bool = False) -> Any:
        record = make_tool(name or tool.__name__, tool)
        self._tools[record.name] = record
        return record

    put(registry.ComponentRegistry, "__init__", init)
    put(registry.ComponentRegistry, "register_tool", register_tool)
    put(registry.ComponentRegistry, "unregister_tool", lambda self, name: self._tools.pop(name))


@MUTATIONS.noticed_by(
    "concurrency/test_registration.py::test_of_many_that_register_one_name_at_once_one_wins"
)
def registration_has_a_lock() -> None:
    made = registry.ComponentRegistry.__init__

    def init(self: Any) -> None:
        made(self)
        self._lock = contextlib.nullcontext()

    put(registry.ComponentRegistry, "__init__", init)


# Ends


@MUTATIONS.noticed_by(f"{CLOSE}::test_of_many_who_close_at_once_one_does_it")
def closing_has_a_lock() -> None:
    made = connection.Connection.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        self._lock = threading.Semaphore(1_000)  # lets everybody in

    put(connection.Connection, "__init__", init)


@MUTATIONS.noticed_by(f"{CLOSE}::test_close_from_many_threads_tasks_and_loops_at_once")
def closing_cancels_what_runs() -> None:
    put(sync_half.SyncLink, "abort", nothing)
    put(async_half.AsyncLink, "abort", nothing)


@MUTATIONS.noticed_by(
    f"{CLOSE}::test_execution_that_begins_while_the_client_closes_does_not_survive[async]"
)
def an_execution_that_meets_close_is_cancelled() -> None:
    put(connection.Connection, "_keep", lambda self, link: self._links.add(link))


@MUTATIONS.noticed_by(
    "concurrency/test_patterns.py::test_a_closed_client_says_so_however_often_it_is_closed"
)
def a_closed_client_says_so() -> None:
    put(connection.Connection, "check_open", nothing)
    put(connection.Connection, "_open_channel", lambda self: contextlib.nullcontext())


@MUTATIONS.noticed_by(
    f"{CANCELLATION}::test_a_sandbox_ends_with_its_execution[async: stream left-loop]"
)
def a_task_that_leaves_ends_its_stream() -> None:
    async def close(self: Any) -> None:
        await self.end_tools()
        _kept.append(self)

    put(async_half.AsyncLink, "close", close)


@MUTATIONS.noticed_by(
    f"{CANCELLATION}::test_a_sandbox_ends_with_its_execution[sync: stream left-loop]"
)
def a_thread_that_leaves_ends_its_stream() -> None:
    def close(self: Any) -> None:
        _kept.append(self)

    put(sync_half.SyncLink, "close", close)


_kept: list[Any] = []


@MUTATIONS.noticed_by(
    f"{CANCELLATION}::test_a_sandbox_ends_with_its_execution[async: stream left-async tool]"
)
def tools_are_cancelled_with_their_run() -> None:
    put(async_half.AsyncLink, "end_tools", _pass)
    put(tool_loop.ToolLoop, "_cancel_tasks", _pass)


async def _pass(self: Any, *args: Any) -> None:
    pass


@MUTATIONS.noticed_by(
    f"{CANCELLATION}::test_a_sandbox_ends_with_its_execution[async: task.cancel()-async tool]"
)
def tools_that_are_cancelled_may_unwind() -> None:
    def cancel_again_and_again(task: asyncio.Task[Any]) -> None:
        for delay in (0.0, 0.005, 0.01):
            asyncio.get_running_loop().call_later(delay, task.cancel)

    put(async_half, "cancel_once", cancel_again_and_again)
    put(tool_loop, "cancel_once", cancel_again_and_again)


@MUTATIONS.noticed_by(
    "codemode/core/_dispatch/test_observation.py::TestAThreadForSyncCodeThatIsHeld::test_by_a_tool_of_the_execution_the_end_is_told_later[cancelled]"
)
def a_task_does_not_wait_for_a_thread_that_its_tool_holds() -> None:
    put(observation, "UNWIND_SECONDS", 600.0)
    put(observation.Observation, "_left_a_tool", lambda self: False)


@MUTATIONS.noticed_by(
    "codemode/core/_link/test_tool_loop.py::test_a_tool_that_blocks_its_loop_does_not_hold_up_the_caller"
)
def nobody_waits_for_a_tool_that_blocks_its_loop() -> None:
    def serve_until(self: Any, ended: Any) -> None:
        ended.result()

    put(tool_loop.ToolLoop, "_serve_until", serve_until)


@MUTATIONS.noticed_by(
    "codemode/core/_dispatch/test_interrupts.py::test_a_signal_ends_the_execution_through_a_sync_tool"
)
def interrupts_pass_through_tools() -> None:
    put(perform, "is_interrupt", lambda error: isinstance(error, KeyboardInterrupt))


@MUTATIONS.noticed_by(
    f"{CANCELLATION}::test_a_tool_that_waits_for_a_thread_never_runs_once_its_caller_has_left"
)
def a_tool_that_nobody_waits_for_does_not_begin() -> None:
    put(dispatch.Dispatcher, "cancel_all", nothing)


@MUTATIONS.noticed_by(
    "concurrency/test_deadlines.py::test_time_in_the_queue_of_the_executor_is_not_the_codes"
)
def the_deadline_is_that_of_the_code() -> None:
    setter: Any = vars(dispatch.Dispatcher)["deadline"]
    put(dispatch.Dispatcher, "deadline", setter.setter(nothing))


@MUTATIONS.noticed_by(
    f"{NESTING}::test_runs_that_fill_the_executor_and_wait_for_nested_ones_end_as_busy[sync]"
)
def an_execution_says_whose_tool_it_is_of() -> None:
    put(request, "get_current_execution", nothing)


@MUTATIONS.noticed_by(
    "concurrency/test_deadlines.py::test_tools_of_every_kind_see_the_same_time_run_out"
)
def a_tool_knows_the_time_that_is_left() -> None:
    put(context.CurrentExecution, "deadline", property(lambda self: 30.0))
