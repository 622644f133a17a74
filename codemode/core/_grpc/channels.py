"""gRPC channels to one executor: one for threads, one per event loop, none across a fork."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import weakref
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
        if not address.startswith(("unix:", "unix-abstract:")):
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
        self._lock = threading.Lock()
        self._sync: ForkSafeStub | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}
        self._closed = False
        _all_channels.add(self)

    def stub(self) -> ForkSafeStub:
        """Return the stub for threads. Raises ValueError after close(), as gRPC does."""
        with self._lock:
            self._check_open()
            if self._sync is None:
                own = grpc_of_this_process()
                prepare_grpc(own)
                credentials = self._credentials(own)
                self._sync = ForkSafeStub(
                    own.channel(self._target.address, self._target.options, credentials)
                )
            return self._sync

    def async_stub(self) -> Any:
        """Return the stub for the running loop. Raises ValueError after close()."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._check_open()
            self._drop_closed_loops()
            channel = self._by_loop.get(loop)
            if channel is None:
                own = grpc_of_this_process()
                with stacks():
                    channel = self._open_async(own)
                self._by_loop[loop] = channel
        return make_stub(channel)

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
        if channel is None or channel.get_state() is grpc.ChannelConnectivity.READY:
            return True
        with stacks():
            channel.get_state(try_to_connect=True)
        return False

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

    def _open_async(self, own: GRPC) -> grpc.aio.Channel:
        credentials = self._credentials(own)
        channel: grpc.aio.Channel
        if credentials is None:
            channel = own.aio.insecure_channel(self._target.address, self._target.options)
        else:
            channel = own.aio.secure_channel(
                self._target.address, credentials, self._target.options
            )
        return channel

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

    def _forget(self) -> None:
        """Drop everything in a forked child, where the parent's channels must not be touched."""
        self._lock = threading.Lock()
        keep_for_ever(self._sync, self._by_loop)
        self._sync = None
        self._by_loop = {}


_all_channels: weakref.WeakSet[Channels] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for channels in list(_all_channels):
        channels._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
