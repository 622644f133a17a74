"""Connections to one MCP server, on an event loop of their own in a thread of its own.

The SDK's client belongs to one event loop. The sync half has a loop for each
run, and a project may have several, so none of these loops is used.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import logging
import math
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TextIO

import anyio
import httpx2
from mcp import Client, ClientSession, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from codemode.core._grpc.kept import keep_for_ever
from codemode.errors import ToolRegistrationError
from codemode.integrations._mcp.http import MAX_ANSWER_BYTES, BoundedClient
from codemode.integrations._mcp.options import Headers, ServerOptions
from codemode.integrations._mcp.streams import Attempt, attempt_of_task, watched

__all__ = ["Connections", "MCPServerError"]

logger = logging.getLogger("codemode.integrations")

_CLOSE_SECONDS = 15.0
"""The SDK gives a server's process 2 s to end, 2 s after SIGTERM, and 2 s after SIGKILL."""


class MCPServerError(ToolRegistrationError, ConnectionError):
    """An MCP server that cannot be reached, or that does not answer as the protocol says."""


@dataclass(slots=True, eq=False)
class _Connection:
    """One connection. Its task enters and leaves the SDK's client, and others use the session."""

    options: ServerOptions
    headers: Headers = field(repr=False)
    users: int = 0
    session: ClientSession | None = None
    failure: BaseException | None = None
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _ready: anyio.Event = field(default_factory=anyio.Event)
    _ending: anyio.Event = field(default_factory=anyio.Event)

    @property
    def ended(self) -> bool:
        """Whether no request can be sent any more."""
        return self._ending.is_set()

    def end(self) -> None:
        self._ending.set()
        if self.session is None:
            self._scope.cancel()

    async def opened(self) -> ClientSession:
        """Return the session once there is one. Raises MCPServerError."""
        await self._ready.wait()
        if self.session is None:
            raise _unreachable(self.options, self.failure)
        return self.session

    async def run(self) -> None:
        """Connect, and hold the connection until it ends."""
        self._scope.deadline = anyio.current_time() + self.options.timeout
        try:
            with self._scope:
                async with AsyncExitStack() as stack:
                    transport = watched(await self._transport(stack), self._ending)
                    # A third of the time for each step: the first may be one that an old
                    # server does not answer.
                    limit = self.options.timeout / 3
                    client = Client(transport, read_timeout_seconds=limit, cache=None)
                    session = (await stack.enter_async_context(client)).session
                    self._scope.deadline = math.inf
                    self.session = session
                    self._ready.set()
                    await self._ending.wait()
        except Exception as error:
            if self.session is not None:
                logger.warning(
                    "The connection to the MCP server of %s ended",
                    self.options.prefix,
                    exc_info=error,
                )
            self.failure = error
        finally:
            self._ending.set()
            self._ready.set()

    async def _transport(self, stack: AsyncExitStack) -> AbstractAsyncContextManager[Any]:
        server, timeout = self.options.server, self.options.timeout
        if isinstance(server, StdioServerParameters):
            return stdio_client(server, errlog=_standard_error(stack))
        http = BoundedClient(
            headers={**dict(self.headers), "accept-encoding": "identity"},
            auth=None if self.options.auth is None else self.options.auth(),
            # Calls have timeouts of their own, after which they are cancelled at the server.
            timeout=httpx2.Timeout(timeout, read=None),
        )
        await stack.enter_async_context(http)
        return streamable_http_client(server, http_client=http, max_sse_event_size=MAX_ANSWER_BYTES)


class _Pool:
    """The connections of one loop: one for each set of headers, up to a number."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._open: dict[Headers, _Connection] = {}  # the one used last is the last
        self._tasks: set[asyncio.Task[Any]] = set()  # of connections and of requests
        self._freed = anyio.Event()
        self._closed = False

    async def request[T](self, headers: Headers, ask: Callable[[ClientSession], Awaitable[T]]) -> T:
        """Let ``ask`` send one request; again, on a new connection, where nothing was sent."""
        self._keep(asyncio.current_task())
        for is_last in (False, True):
            attempt = Attempt()
            attempt_of_task.set(attempt)
            connection = await self._take(headers)
            try:
                return await ask(await connection.opened())
            except MCPError:
                if is_last or attempt.sent:
                    raise
                connection.end()
            finally:
                connection.users -= 1
                self._wake()
        raise AssertionError("the last try has returned or raised")

    async def close(self) -> None:
        """End the connections; requests that wait raise."""
        self._closed = True
        for connection in self._open.values():
            connection.end()
        self._open.clear()
        self._wake()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)

    def _keep(self, task: asyncio.Task[Any] | None) -> None:
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wake(self) -> None:
        self._freed.set()
        self._freed = anyio.Event()

    async def _take(self, headers: Headers) -> _Connection:
        """Return the connection with these headers, counted as used."""
        try:
            with anyio.fail_after(self._options.timeout):
                while (found := self._found(headers)) is None:
                    await self._freed.wait()
        except TimeoutError:
            options = self._options
            raise MCPServerError(
                f"the MCP server of {options.prefix!r} has max_connections="
                f"{options.max_connections}, and all were in use for timeout="
                f"{options.timeout:g} s; raise one of the two"
            ) from None
        found.users += 1
        return found

    def _found(self, headers: Headers) -> _Connection | None:
        """Return an open connection or a new one, None where all are in use."""
        if self._closed:
            raise _closed(self._options)
        found = self._open.pop(headers, None)
        if found is None or found.ended:
            if len(self._open) >= self._options.max_connections:
                idle = next((one for one in self._open.values() if not one.users), None)
                if idle is None:
                    return None
                del self._open[idle.headers]
                idle.end()
            found = _Connection(self._options, headers)
            # In an empty context: a connection belongs to no call, and outlives its first one.
            self._keep(asyncio.create_task(found.run(), context=contextvars.Context()))
        self._open[headers] = found
        return found


@dataclass(slots=True, eq=False)
class _Thread:
    """A thread with a loop, and the connections on it."""

    pool: _Pool
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    stop: asyncio.Event

    def end(self) -> None:
        """Let the thread end the connections, and itself."""
        self.loop.call_soon_threadsafe(self.stop.set)


class Connections:
    """The connections to one server, for all threads and loops of the process.

    The thread starts with the first request. A forked child starts its own.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._closed = False
        self._lock = threading.Lock()
        self._thread: _Thread | None = None
        self._finalizer: weakref.finalize[Any, Connections] | None = None
        _all.add(self)

    def request[T](
        self, headers: Headers, ask: Callable[[ClientSession], Awaitable[T]]
    ) -> Future[T]:
        """Send a request by ``ask``, which runs on the thread; cancelling the future cancels it.

        The future raises MCPServerError for a server that cannot be reached, and
        MCPError for one that answers with an error.
        """
        with self._lock:
            if self._closed:
                raise _closed(self._options)
            if self._thread is None:
                self._thread = _start(self._options)
                self._finalizer = weakref.finalize(self, self._thread.end)
                self._finalizer.atexit = False
            thread = self._thread
            # In an empty context: nothing of the caller's may stay on the thread.
            return contextvars.Context().run(
                asyncio.run_coroutine_threadsafe, thread.pool.request(headers, ask), thread.loop
            )

    def disconnect(self) -> None:
        """End the connections and the thread; a later request starts them again."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._detach()
            thread.end()
            thread.thread.join()

    def close(self) -> None:
        """End the connections and the thread; later requests raise MCPServerError."""
        self._closed = True
        self.disconnect()

    def forget_after_fork(self) -> None:
        """Leave alone what the parent has: its loop cannot be closed here."""
        self._lock = threading.Lock()
        if self._thread is not None:
            self._detach()
            keep_for_ever(self._thread)
            self._thread = None

    def _detach(self) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()


def _start(options: ServerOptions) -> _Thread:
    started: Future[_Thread] = Future()

    async def serve() -> None:
        one = _Thread(
            pool=_Pool(options),
            loop=asyncio.get_running_loop(),
            thread=threading.current_thread(),
            stop=asyncio.Event(),
        )
        started.set_result(one)
        await one.stop.wait()
        await one.pool.close()

    name = f"codemode-mcp-{options.prefix}"
    # A daemon, so that the process can end; at its end, close() is called.
    threading.Thread(target=lambda: asyncio.run(serve()), name=name, daemon=True).start()
    return started.result()


def _standard_error(stack: AsyncExitStack) -> TextIO:
    """Return the standard error of this process for a server's, or nothing if there is none."""
    try:
        sys.__stderr__.fileno()  # type: ignore[union-attr]  # None where there is none
    except (AttributeError, OSError, ValueError):
        return stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
    assert sys.__stderr__ is not None
    return sys.__stderr__


def _closed(options: ServerOptions) -> MCPServerError:
    return MCPServerError(f"the connections to the MCP server of {options.prefix!r} are closed")


def _unreachable(options: ServerOptions, failure: BaseException | None) -> MCPServerError:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if failure is None:
        reason = f"it did not answer within timeout={options.timeout:g} s"
    elif isinstance(failure, MCPError):
        reason = str(failure)[:500]
    else:
        reason = f"{type(failure).__name__}: {failure}"[:500]
    error = MCPServerError(f"the MCP server of {options.prefix!r} cannot be reached: {reason}")
    error.__cause__ = failure
    return error


def _after_fork_in_child() -> None:
    for one in list(_all):
        one.forget_after_fork()


def _close_all() -> None:
    for one in list(_all):
        one.close()


_all: weakref.WeakSet[Connections] = weakref.WeakSet()

atexit.register(_close_all)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
