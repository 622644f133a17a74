"""gRPC channels to one executor: one for threads, one per event loop, none across a fork."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from pydantic import SecretStr

from codemode.config import TLSConfig
from codemode.core._grpc.apart import call_apart
from codemode.core._grpc.forking import (
    GRPC,
    ForkSafeStub,
    grpc_of_this_process,
    stacks,
)
from codemode.core._grpc.greenlets import prepare_grpc
from codemode.core._grpc.kept import keep_for_ever
from codemode.errors import ConfigurationError
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import make_stub

__all__ = ["Channels", "Target", "metadata_of", "parse_target"]

logger = logging.getLogger("codemode.core")

_OPTIONS = (
    # The client has its own retries. With those of gRPC (1.85), a sync call whose
    # connection is reset at its beginning never ends, not even at its deadline.
    ("grpc.enable_retries", 0),
    # Otherwise a forked child could pick up its parent's connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
_SERVICE = pb.DESCRIPTOR.services_by_name["ExecutorService"].full_name
# The executors of one name take turns, except those that report that they do not serve.
# A Unix socket has one executor, and a watch of its health would only cost a stream.
_SEVERAL = (
    (
        "grpc.service_config",
        json.dumps(
            {
                "loadBalancingConfig": [{"round_robin": {}}],
                "healthCheckConfig": {"serviceName": _SERVICE},
            }
        ),
    ),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
)
_SCHEMES = {"dns", "google-c2p", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"}
# A proxy that the environment happens to name must not see the key and the code.
_PLAINTEXT = (("grpc.enable_http_proxy", 0),)


class Target:
    """A parsed ``executor_url``: the gRPC target and whether it is encrypted."""

    def __init__(self, address: str, *, secure: bool) -> None:
        self.address = address
        self.secure = secure
        self.options: tuple[tuple[str, Any], ...] = _OPTIONS
        self.several = not address.startswith(("unix:", "unix-abstract:"))
        """Whether the address may be that of several executors."""
        if self.several:
            self.options += _SEVERAL
        if not secure:
            self.options += _PLAINTEXT


def metadata_of(api_key: str | SecretStr | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata that shows the key to an executor. Raises ConfigurationError."""
    key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    if key and not (key.isascii() and key.isprintable()):
        raise ConfigurationError(
            "executor_api_key has a character that no request header can carry; expected "
            "printable ASCII: look for a line break or an accent"
        )
    return (("authorization", f"Bearer {key}"),) if key else ()


def parse_target(url: str, tls: TLSConfig | None) -> Target:
    """Turn ``http://``, ``https://``, ``unix:`` or any gRPC target into a Target.

    Raises ConfigurationError. ``http`` with a TLSConfig is refused, because the
    TLS options would silently have no effect.
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
    if not _is_grpc_target(url):
        raise ConfigurationError(
            f"executor_url {url!r} is not http://host:port, https://host:port, unix:/path or "
            "another gRPC target"
        )
    return Target(url, secure=tls is not None)


def _is_grpc_target(url: str) -> bool:
    scheme, _, rest = url.partition(":")
    if scheme.lower() in _SCHEMES:
        return bool(rest.strip("/")) and url == url.strip()
    # Only a host and a port is left: gRPC would look up any other text as a name.
    return (
        bool(url) and not set(url) & set("/@?# \t\r\n") and scheme.lower() not in ("http", "https")
    )


class _Replacement:
    """A channel that connects to take the place of another one, for all that wait for it."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.users = 0


class Channels:
    """The channels to one target in one process.

    A grpc.aio channel belongs to the loop in which it was made, so each running
    loop gets its own. Channels of closed loops are dropped at the next look-up.
    A forked child leaves every inherited channel as it is, and makes others with
    its own gRPC.
    """

    def __init__(self, target: Target, tls: TLSConfig | None) -> None:
        self._target = target
        self._tls = tls
        # Reentrant: a signal handler may close the client while this very thread holds it.
        self._lock = threading.RLock()
        self._sync: ForkSafeStub | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        self._replacements: dict[asyncio.AbstractEventLoop | None, _Replacement] = {}
        self._closed = False
        _all_channels.add(self)

    @property
    def several(self) -> bool:
        """Return whether the target may be that of several executors."""
        return self._target.several

    def stub(self) -> ForkSafeStub:
        """Return the stub for threads. Raises ValueError after close(), as gRPC does."""
        with self._lock:
            self._check_open()
            stub = self._sync
            if stub is None:
                stub = self._sync = self._open_sync()
            if self._closed:  # by a signal handler, meanwhile
                self._sync = None
                self._check_open()
            return stub

    def async_stub(self) -> Any:
        """Return the stub for the running loop. Raises ValueError after close()."""
        return make_stub(self.async_channel())

    def async_channel(self) -> grpc.aio.Channel:
        """Return the channel of the running loop. Raises ValueError after close()."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._check_open()
            self._drop_closed_loops()
            channel = self._by_loop.get(loop)
            if channel is None:
                channel = self._by_loop[loop] = self._open_async()
        return channel

    def connect(self, within: float) -> bool:
        """Let the channel for threads connect; return whether it is connected.

        Wait for at most ``within`` seconds. Return True when there is no channel:
        the next call will report why.
        """
        stub = self._sync
        return stub is None or grpc_of_this_process().connect(stub.channel, within)

    def connected_async(self) -> bool:
        """Return whether the channel of the running loop is connected; if not, let it connect."""
        channel = self._by_loop.get(asyncio.get_running_loop())
        return channel is None or _connected(channel)

    @contextlib.contextmanager
    def replacing(self, stub: ForkSafeStub) -> Iterator[Callable[[float], bool]]:
        """Let another channel connect, to take the place of the one of ``stub``.

        gRPC goes on to give calls to a process that has stopped until a ping has failed. A new
        channel gives none to an executor that does not answer it. Yield a function that waits so
        many seconds, and returns whether new calls get another channel by now; calls of the
        former one go on. All threads that wait at once share one new channel.
        """
        shared = self._share(None, stub, self._open_sync)

        def replaced(within: float) -> bool:
            if shared is not None and self._sync is stub:
                new: ForkSafeStub = shared.channel
                if grpc_of_this_process().connect(new.channel, within):
                    self._replace(None, stub, shared)
            return self._sync is not stub

        try:
            yield replaced
        finally:
            if shared is not None and self._unshare(None, shared):
                call_apart(shared.channel.channel.close)

    @contextlib.contextmanager
    def replacing_async(self, channel: grpc.aio.Channel) -> Iterator[Callable[[], bool]]:
        """Let another channel of the running loop connect; otherwise as ``replacing``."""
        loop = asyncio.get_running_loop()
        shared = self._share(loop, channel, self._open_async)

        def replaced() -> bool:
            doubted = shared is not None and self._by_loop.get(loop) is channel
            if shared is not None and doubted and _connected(shared.channel):
                self._replace(loop, channel, shared)
            return self._by_loop.get(loop) is not channel

        try:
            yield replaced
        finally:
            if shared is not None:
                self._unshare(loop, shared)  # an unused channel closes when it is freed

    def close(self) -> None:
        """Close what can be closed from this thread; each loop closes its own channel."""
        with self._lock:
            self._closed = True
            sync, self._sync = self._sync, None
            by_loop, self._by_loop = self._by_loop, {}
        if sync is not None:
            call_apart(sync.channel.close)
        for loop, channel in by_loop.items():
            if loop.is_running():
                closing = channel.close(None)
                try:
                    asyncio.run_coroutine_threadsafe(closing, loop)
                except RuntimeError:
                    closing.close()  # the loop was closed at the same moment

    async def close_async(self) -> None:
        """Close all channels and wait for the running loop's."""
        with self._lock:
            self._closed = True
            mine = self._by_loop.pop(asyncio.get_running_loop(), None)
        self.close()
        if mine is not None:
            await asyncio.shield(mine.close(None))

    def _open_sync(self) -> ForkSafeStub:
        own = grpc_of_this_process()
        prepare_grpc(own)
        credentials = self._credentials(own)
        return ForkSafeStub(own.channel(self._target.address, self._target.options, credentials))

    def _open_async(self) -> grpc.aio.Channel:
        own = grpc_of_this_process()
        address, options = self._target.address, self._target.options
        channel: grpc.aio.Channel
        with stacks():
            credentials = self._credentials(own)
            if credentials is None:
                channel = own.aio.insecure_channel(address, options)
            else:
                channel = own.aio.secure_channel(address, credentials, options)
        return channel

    def _share(
        self, loop: asyncio.AbstractEventLoop | None, former: Any, open: Callable[[], Any]
    ) -> _Replacement | None:
        """Return the channel that connects in place of ``former``; None if another one is there."""
        with self._lock:
            if self._closed or self._current(loop) is not former:
                return None
            shared = self._replacements.get(loop)
            if shared is None:
                shared = self._replacements[loop] = _Replacement(open())
            shared.users += 1
            return shared

    def _unshare(self, loop: asyncio.AbstractEventLoop | None, shared: _Replacement) -> bool:
        """Return whether nobody waits for a channel any more that has taken no other's place."""
        with self._lock:
            shared.users -= 1
            if shared.users or self._replacements.get(loop) is not shared:
                return False
            del self._replacements[loop]
            return True

    def _replace(
        self, loop: asyncio.AbstractEventLoop | None, former: Any, shared: _Replacement
    ) -> None:
        with self._lock:
            if self._current(loop) is not former or self._replacements.get(loop) is not shared:
                return
            del self._replacements[loop]
            if loop is None:
                self._sync = shared.channel
            else:
                self._by_loop[loop] = shared.channel
        logger.warning(
            "an executor at %s does not answer; new calls use new connections, to those that do",
            self._target.address,
        )

    def _current(self, loop: asyncio.AbstractEventLoop | None) -> Any:
        return self._sync if loop is None else self._by_loop.get(loop)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the channels have been closed")

    def _credentials(self, own: GRPC) -> grpc.ChannelCredentials | None:
        if not self._target.secure:
            return None
        tls = self._tls or TLSConfig()
        return own.ssl_credentials(tls.read("ca_file"), tls.read("key_file"), tls.read("cert_file"))

    def _drop_closed_loops(self) -> None:
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            del self._by_loop[loop]
            self._replacements.pop(loop, None)

    def _forget(self) -> None:
        """Drop everything in a forked child, where the parent's channels must not be touched."""
        self._lock = threading.RLock()
        keep_for_ever(self._sync, self._by_loop, self._replacements)
        self._sync = None
        self._by_loop = {}
        self._replacements = {}


def _connected(channel: grpc.aio.Channel) -> bool:
    """Return whether a channel is connected; if not, let it connect."""
    if channel.get_state() is grpc.ChannelConnectivity.READY:
        return True
    with stacks():
        channel.get_state(try_to_connect=True)
    return False


_all_channels: weakref.WeakSet[Channels] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for channels in list(_all_channels):
        channels._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
