"""Mechanisms that the project loses on request, to prove that the tests notice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from codemode.core._dispatch import call_checks, threads
from codemode.core._dispatch import dispatcher as dispatch
from codemode.core._grpc import channels
from codemode.core._link import connection
from codemode.core.context import RuntimeContext, set_current_context
from codemode.embedded import executor as embedded
from codemode.embedded import process as spawned
from django_codemode import asgi, middleware, shared
from tests.support.mutations import Mutations, nothing, put

__all__ = ["MUTATIONS", "OWN_EXECUTOR", "Cell"]

OWN_EXECUTOR = "executor of its own"


class Cell(NamedTuple):
    """A cell of the matrix that fails without the mechanism, and the kind of failure."""

    server: str
    name: str
    wrong: str

    def __str__(self) -> str:
        return "-".join(self)


MUTATIONS = Mutations[Cell](__name__)


@contextlib.contextmanager
def set_for_ever(context: RuntimeContext | None) -> Iterator[None]:
    set_current_context(context)
    yield


@MUTATIONS.noticed_by(
    Cell("gunicorn sync", "own context", "leaks"),
    Cell("gunicorn gthread", "nothing stays", "leaks"),
    Cell("gunicorn gevent", "nothing stays", "leaks"),
)
def the_context_is_not_restored() -> None:
    put(middleware, "use_context", set_for_ever)


@MUTATIONS.noticed_by(
    Cell("uvicorn", "sync stream", "leaks"),
    Cell("uvicorn", "async stream", "leaks"),
    Cell("uvicorn", "client leaves", "leaks"),
    Cell("gunicorn gthread", "sync stream", "leaks"),
)
def bodies_are_not_bound() -> None:
    put(middleware, "_bound", lambda response, context: response)


@MUTATIONS.noticed_by(Cell("daphne", "websocket", "leaks"))
def sockets_get_no_context() -> None:
    put(asgi, "use_context", contextlib.nullcontext)


@MUTATIONS.noticed_by(Cell("gunicorn gthread", "JSON view, sync tool", "leaks"))
def sync_tools_run_in_no_copy_of_the_context() -> None:
    def call_sync(self: Any, call: Any) -> Any:
        return call.failure or self._performer.perform(call, call.tool)

    put(dispatch.Dispatcher, "call_sync", call_sync)


@MUTATIONS.noticed_by(Cell("gunicorn gevent", "JSON view, sync tool", "errors"))
def grpc_is_not_told_of_gevent() -> None:
    put(channels, "prepare_grpc", nothing)


@MUTATIONS.noticed_by(
    Cell("gunicorn gevent", "JSON view, async tool", "errors"),
    Cell("gunicorn gevent", "async view, sync tool", "errors"),
)
def greenlets_may_be_asynchronous() -> None:
    put(call_checks, "why_not_async", nothing)
    put(connection, "why_not_async", nothing)


@MUTATIONS.noticed_by(Cell("gunicorn --preload", OWN_EXECUTOR, "the executor of another process"))
def nothing_is_forgotten_after_a_fork() -> None:
    # By replacing their code, because the functions themselves are registered with the system.
    for function in (
        channels.Channels._forget,
        connection.Connection._forget,
        embedded.EmbeddedExecutor._forget,
        shared.Shared._forget,
        spawned._after_fork_in_child,
        threads._forget_threads,
    ):
        function.__code__ = nothing.__code__
