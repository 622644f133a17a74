"""gRPC channels to one executor: one for threads, one per event loop, none across a fork."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import weakref
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from pydantic import SecretStr

from codemode.config import TLSConfig
from codemode.core import forking
from codemode.core.greenlets import prepare_grpc
from codemode.core.threaded_stub import ThreadedStub
from codemode.errors import ConfigurationError
from codemode.wire import make_stub

__all__ = ["Channels", "Target", "metadata_of", "parse_target"]

logger = logging.getLogger(__name__)

_OPTIONS = (
    # The client tries again by itself. With gRPC's retries (1.85) a sync call
    # whose connection is reset at its beginning never ends, nor at its deadline.
    ("grpc.enable_retries", 0),
    # Without it a forked child could pick up its parent's connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class Target:
    """Be a parsed ``executor_url``: the gRPC target and whether it is encrypted."""

    def __init__(self, address: str, *, secure: bool) -> None:
        self.address = address
        self.secure = secure


def metadata_of(api_key: str | SecretStr | None) -> tuple[tuple[str, str], ...]:
    """Return what shows the key to an executor. Raises ConfigurationError."""
    key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigurationError(
            "executor_api_key has a character that no request header can carry; expected "
            "printable ASCII: look for a line break or an accent"
        )
    return (("authorization", f"Bearer {key}"),) if key else ()


def parse_target(url: str, tls: TLSConfig | None) -> Target:
    """Turn ``http://``, ``https://``, ``unix:`` or any gRPC target into a Target.

    Raises ConfigurationError. ``http`` with a TLSConfig is refused: the options
    of an encrypted connection would be silently without effect.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() in ("http", "https") and rest:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigurationError(f"executor_url {url!r}: {error}") from error
        if not host or parts.path.strip("/") or parts.query or parts.username:
            raise ConfigurationError(
                f"executor_url {url!r} is not http(s)://host[:port]; an executor has no path, "
                "query or user, and the key goes into executor_api_key"
            )
        secure = parts.scheme == "https"
        if tls is not None and not secure:
            raise ConfigurationError(
                f"executor_url {url!r} is plain http, but tls is set; use https:// or drop tls"
            )
        host = f"[{host}]" if ":" in host else host
        return Target(f"{host}:{port or (443 if secure else 80)}", secure=secure)
    if not url.strip() or url != url.strip() or scheme.lower() in ("http", "https"):
        raise ConfigurationError(
            f"executor_url {url!r} is not http://host:port, https://host:port, unix:/path or "
            "another gRPC target"
        )
    return Target(url, secure=tls is not None)


class Channels:
    """Hold the channels to one target in one process.

    A grpc.aio channel belongs to the loop in which it was made, so each running
    loop gets its own; those of closed loops are dropped at the next look-up or fork. In
    a forked child every channel is dropped unused and made anew. Where the parent had
    asyncio channels open, they cannot work in the child, and threads serve its loops.
    """

    def __init__(self, target: Target, tls: TLSConfig | None) -> None:
        self._target = target
        self._tls = tls
        self._lock = threading.Lock()
        self._sync: grpc.Channel | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        self._closed = False
        _all_channels.add(self)

    def stub(self) -> Any:
        """Return the stub for threads. Raises ValueError after close(), as gRPC does."""
        with self._lock:
            self._check_open()
            if self._sync is None:
                prepare_grpc()
                if self._target.secure:
                    self._sync = grpc.secure_channel(
                        self._target.address, self._credentials(), _OPTIONS
                    )
                else:
                    self._sync = grpc.insecure_channel(self._target.address, _OPTIONS)
                forking.keep_out_of_forks(self._sync)
            return forking.ForkSafeStub(make_stub(self._sync))

    def async_stub(self) -> Any:
        """Return the stub for the running loop. Raises ValueError after close()."""
        if forking.aio_was_lost():
            _tell_of_threads()
            return ThreadedStub(self.stub())
        loop = asyncio.get_running_loop()
        with self._lock:
            self._check_open()
            self._drop_closed_loops()
            channel = self._by_loop.get(loop)
            if channel is None:
                with forking.stacks():
                    channel = self._open_async()
                self._by_loop[loop] = channel
        return make_stub(channel)

    def close(self) -> None:
        """Close what can be closed from this thread; loops close their own channel."""
        with self._lock:
            self._closed = True
            sync, self._sync = self._sync, None
            by_loop, self._by_loop = self._by_loop, {}
        if sync is not None:
            sync.close()
        for loop, channel in by_loop.items():
            if loop.is_running():
                try:
                    asyncio.run_coroutine_threadsafe(channel.close(None), loop)
                except RuntimeError:
                    pass  # the loop was closed at the same moment

    async def close_async(self) -> None:
        """Close all channels and wait for the running loop's."""
        with self._lock:
            self._closed = True
            mine = self._by_loop.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.close(None)
        self.close()

    def _open_async(self) -> grpc.aio.Channel:
        if self._target.secure:
            return grpc.aio.secure_channel(self._target.address, self._credentials(), _OPTIONS)
        return grpc.aio.insecure_channel(self._target.address, _OPTIONS)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the channels have been closed")

    def _credentials(self) -> grpc.ChannelCredentials:
        tls = self._tls or TLSConfig()
        return grpc.ssl_channel_credentials(
            root_certificates=tls.read("ca_file"),
            private_key=tls.read("key_file"),
            certificate_chain=tls.read("cert_file"),
        )

    def _drop_closed_loops(self) -> bool:
        closed = [loop for loop in self._by_loop if loop.is_closed()]
        for loop in closed:
            del self._by_loop[loop]
        return bool(closed)

    def _before_fork(self) -> bool:
        # Not if another thread is at it: a fork must not wait for locks.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._drop_closed_loops()
        finally:
            self._lock.release()

    def _forget(self) -> None:
        """Drop everything in a forked child, where the parent's channels must not be touched."""
        self._lock = threading.Lock()
        if self._by_loop:
            forking.lose_aio()
        # Kept alive on purpose: closing them would speak on the parent's sockets.
        _graveyard.append((self._sync, self._by_loop))
        self._sync = None
        self._by_loop = {}


def _tell_of_threads() -> None:
    global _told_of_threads
    if not _told_of_threads:
        _told_of_threads = True
        logger.warning(
            "this process was forked while an asyncio channel of gRPC was open, so that gRPC has "
            "none that work here: execute_async() uses threads, which is slower; fork before the "
            "first execution, or use the spawn method of multiprocessing"
        )


_told_of_threads = False
_all_channels: weakref.WeakSet[Channels] = weakref.WeakSet()
_graveyard: list[object] = []


def _before_fork() -> None:
    """Free the channels of closed loops: gRPC's aio half dies in a child that inherits one."""
    dropped = [channels._before_fork() for channels in list(_all_channels)]
    if any(dropped):
        gc.collect()  # a channel and its loop hold each other


def _after_fork_in_child() -> None:
    for channels in list(_all_channels):
        channels._forget()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
