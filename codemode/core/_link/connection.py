"""The connection of one client to its executor: channels, open streams, an embedded executor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from pydantic import SecretStr

from codemode.config import TLSConfig
from codemode.core._dispatch.threads import off_loop
from codemode.core._grpc.channels import Channels, Target, metadata_of, parse_target
from codemode.core._grpc.greenlets import why_not_async
from codemode.core._grpc.kept import keep_for_ever
from codemode.core._link.async_carrier import AsyncLink
from codemode.core._link.grpc_errors import client_error
from codemode.core._link.request import Peer
from codemode.core._link.sync_carrier import SyncLink
from codemode.core.executor_info import ExecutorInfo, info_from
from codemode.embedded.executor import EmbeddedExecutor
from codemode.errors import ClientClosedError, ConfigurationError, ExecutorConnectionError
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import FEATURES, PROTOCOL_VERSION, SIGNS_OF_LIFE, make_stub

__all__ = ["Connection"]

_INFO_TIMEOUT = 10.0
_CLOSED = "the client has been closed"
_LEAST_WAIT = 0.001
_LONGEST_WAIT = 0.05


class Connection:
    """A source of streams to one executor, until it is closed; usable on both sides of a fork.

    With ``executor_url=None`` it starts an executor of its own on first use, one
    per process. Raises ConfigurationError for a malformed URL or key.
    """

    def __init__(
        self,
        executor_url: str | None,
        api_key: str | SecretStr | None,
        *,
        tls: TLSConfig | None,
        connect_timeout: float,
        min_tier: str | None,
        executor_log_file: Path | None,
    ) -> None:
        self.url = executor_url or "embedded"
        self.embedded: EmbeddedExecutor | None = None
        # An executor of our own is of this release; another one has yet to say what it accepts.
        self.peer = Peer(FEATURES if executor_url is None else ())
        self._connect_timeout = connect_timeout
        self._metadata = metadata_of(api_key)
        # Reentrant: a signal handler may close the client while this very thread holds it.
        self._lock = threading.RLock()
        self._closed = False
        self._closer = False  # a close() runs, or has run
        self._links: weakref.WeakSet[Any] = weakref.WeakSet()
        self._channels: Channels | None = None
        self._address: str | None = None
        if executor_url is None:
            self.embedded = EmbeddedExecutor(log_file=executor_log_file, min_tier=min_tier)
        else:
            self._channels = Channels(parse_target(executor_url, tls), tls)
        _all_connections.add(self)

    def waits(self) -> Iterator[float]:
        """Yield the pauses in which an execution waits for a connection.

        One iterator bounds all attempts of an execution together. An embedded
        executor needs no pauses: once started it is there, or never again.
        """
        if self.embedded is not None:
            return
        until, pause = time.monotonic() + self._connect_timeout, _LEAST_WAIT
        while time.monotonic() < until:
            yield pause
            pause = min(2 * pause, _LONGEST_WAIT)

    def check_open(self) -> None:
        """Raise ClientClosedError after close()."""
        if self._closed:
            raise ClientClosedError

    def open_sync(
        self,
        messages: Sequence[pb.ClientMessage],
        *,
        timeout: float | None,
        waited: Iterator[float] | None = None,
        may_leave: bool = False,
    ) -> SyncLink:
        """Open a stream from a thread, once there is a connection or ``waited`` is over.

        With ``may_leave``, a stream without a sign of life ends as soon as new ones go elsewhere.
        """
        channels = self._connect()
        with self._open_channel():
            stub = channels.stub()
            link = SyncLink(
                stub,
                messages,
                url=self.url,
                metadata=self._metadata,
                timeout=timeout,
                wait=partial(_wait, channels, self.waits() if waited is None else waited),
                leaving=partial(channels.replacing, stub) if self._leaves(may_leave) else None,
            )
        self._keep(link, stub)
        return link

    async def open_async(
        self,
        messages: Sequence[pb.ClientMessage],
        *,
        timeout: float | None,
        waited: Iterator[float] | None = None,
        may_leave: bool = False,
    ) -> AsyncLink:
        """Open a stream from a task; otherwise as ``open_sync``."""
        channels = await self._channels_async()
        with self._open_channel():
            channel = channels.async_channel()
            for pause in self.waits() if waited is None else waited:
                if channels.connected_async():
                    break
                await asyncio.sleep(pause)
            leaving = partial(channels.replacing_async, channel)
            link = AsyncLink(
                make_stub(channel),
                url=self.url,
                metadata=self._metadata,
                timeout=timeout,
                leaving=leaving if self._leaves(may_leave) else None,
            )
        self._keep(link, channel)
        try:
            await link.send(messages)
        except BaseException:
            # gRPC ends a call whose write is cancelled, but not one that still waits
            # for its headers: that call would go on unattended.
            await link.close()
            raise
        return link

    def info(self) -> ExecutorInfo:
        """Ask the executor about itself from a thread."""
        self.check_open()
        try:
            with self._open_channel():
                stub = self._connect().stub()
                answer = stub.GetInfo(
                    _info_request(), metadata=self._metadata, timeout=_INFO_TIMEOUT
                )
        except grpc.RpcError as error:
            raise client_error(error, self.url, None) from error
        return info_from(answer)

    async def info_async(self) -> ExecutorInfo:
        """Ask the executor about itself from a task."""
        self.check_open()
        channels = await self._channels_async()
        try:
            with self._open_channel():
                answer = await channels.async_stub().GetInfo(
                    _info_request(), metadata=self._metadata, timeout=_INFO_TIMEOUT
                )
        except grpc.RpcError as error:
            raise client_error(error, self.url, None) from error
        return info_from(answer)

    def close(self) -> None:
        """Cancel all runs, end their sandboxes and the embedded executor. Idempotent.

        Later calls raise ClientClosedError. A close that is broken off, as by an
        interrupt, is completed by the next one.
        """
        with self._closing() as mine:
            if mine and self._channels is not None:
                self._channels.close()
            if mine and self.embedded is not None:
                self.embedded.close()

    async def close_async(self) -> None:
        """Close from a task; otherwise as ``close``. A cancel breaks off the waiting only."""
        with self._closing() as mine:
            if not mine:
                return
            ended = _in_thread(self.embedded.close) if self.embedded is not None else None
            if self._channels is not None:
                await self._channels.close_async()
            if ended is not None:
                await asyncio.shield(asyncio.wrap_future(ended))

    @contextlib.contextmanager
    def _open_channel(self) -> Iterator[None]:
        """Explain why gRPC refuses a call: its channel was closed meanwhile."""
        try:
            yield
        except ConfigurationError:
            raise
        except (ValueError, grpc.aio.UsageError) as error:
            if self._closed:
                raise ClientClosedError from error
            raise ExecutorConnectionError(
                f"the connection to {self.url} was closed; call again"
            ) from error

    def _connect(self) -> Channels:
        """Return the channels, starting the embedded executor when there is none."""
        self.check_open()
        if self.embedded is None:
            assert self._channels is not None
            return self._channels
        address = self.embedded.address()
        with self._lock:
            if self._channels is None or self._address != address:
                if self._channels is not None:
                    self._channels.close()
                self._channels = Channels(Target(address, secure=False), None)
                self._address = address
            channels = self._channels
        if self._closed:
            # close() ran while the executor was being started.
            self.embedded.close()
            raise ClientClosedError
        return channels

    async def _channels_async(self) -> Channels:
        if (reason := why_not_async("this call", "use the synchronous form")) is not None:
            raise ConfigurationError(reason)
        if self.embedded is not None and self.embedded.pid is None:
            return await off_loop(self._connect)
        return self._connect()

    def _leaves(self, may_leave: bool) -> bool:
        """Return whether a run that is not answered may go to another executor."""
        channels = self._channels
        alive = SIGNS_OF_LIFE in self.peer.features
        return may_leave and alive and channels is not None and channels.several

    def _keep(self, link: Any, channel: Any) -> None:
        link.peer, link.channel = self.peer, channel
        with self._lock:
            self._links.add(link)
            closed = self._closed
        if closed:
            link.abort(_CLOSED)

    @contextlib.contextmanager
    def _closing(self) -> Iterator[bool]:
        """Refuse new calls and cancel the runs; yield False where another close does so, or did."""
        with self._lock:
            mine = not self._closer
            self._closed = self._closer = True
            links = list(self._links)
        try:
            if mine:
                for link in links:
                    link.abort(_CLOSED)
            yield mine
        except BaseException:
            self._closer = False
            raise

    def _forget(self) -> None:
        """Start afresh in a forked child: the open streams are the parent's."""
        self._lock = threading.RLock()
        for link in list(self._links):
            link.forget()
            keep_for_ever(link)
        self._links = weakref.WeakSet()


def _wait(channels: Channels, pauses: Iterator[float]) -> None:
    for pause in pauses:
        if channels.connect(within=pause):
            break


def _in_thread(function: Callable[[], None]) -> Future[None]:
    """Begin a call in a thread of its own, which goes on even when the caller is cancelled."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="codemode-close")
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future


def _info_request() -> pb.GetInfoRequest:
    return pb.GetInfoRequest(protocol_version=PROTOCOL_VERSION)


_all_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for connection in list(_all_connections):
        connection._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
