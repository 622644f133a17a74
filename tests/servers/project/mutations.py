"""What the project loses on request, to show that the tests would notice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from codemode.core._dispatch import dispatcher as dispatch
from codemode.core._dispatch import threads
from codemode.core._grpc import channels
from codemode.core._link import connection
from codemode.core.context import RuntimeContext, set_current_context
from codemode.embedded import executor as embedded
from codemode.embedded import process as spawned
from django_codemode import asgi, middleware, shared

__all__ = ["MUTATIONS"]

MUTATIONS: dict[str, Callable[[], None]] = {}


def mutation(function: Callable[[], None]) -> Callable[[], None]:
    MUTATIONS[function.__name__] = function
    return function


@contextlib.contextmanager
def set_for_ever(context: RuntimeContext | None) -> Iterator[None]:
    set_current_context(context)
    yield


def nothing(*args: Any) -> None:
    pass


@mutation
def the_context_is_not_restored() -> None:
    vars(middleware)["use_context"] = set_for_ever


@mutation
def bodies_are_not_bound() -> None:
    vars(middleware)["_bound"] = lambda response, context: response


@mutation
def sockets_get_no_context() -> None:
    vars(asgi)["use_context"] = contextlib.nullcontext


@mutation
def sync_tools_run_in_no_copy_of_the_context() -> None:
    def call_sync(self: Any, call: Any) -> Any:
        return call.failure or self._performer.perform(call, call.tool)

    vars(dispatch)["Dispatcher"].call_sync = call_sync


@mutation
def grpc_is_not_told_of_gevent() -> None:
    vars(channels)["prepare_grpc"] = nothing


@mutation
def greenlets_may_be_asynchronous() -> None:
    vars(dispatch)["why_not_async"] = vars(connection)["why_not_async"] = nothing


@mutation
def nothing_is_forgotten_after_a_fork() -> None:
    # By their code, because what is registered with the system is the functions as they are.
    for function in (
        channels.Channels._forget,
        connection.Connection._forget,
        embedded.EmbeddedExecutor._forget,
        shared.Shared._forget,
        spawned._after_fork_in_child,
        threads._forget_threads,
    ):
        function.__code__ = nothing.__code__
