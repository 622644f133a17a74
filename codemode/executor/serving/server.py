"""The executor process: its pools, its gRPC server and its shutdown."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from codemode.config import ExecutorConfig
from codemode.errors.base import ConfigurationError
from codemode.executor.host.control_groups import Cgroups, cpu_is_shared_by_session
from codemode.executor.host.isolation import Isolation, choose
from codemode.executor.host.limits import with_threads
from codemode.executor.pool.pools import Pools, exposed_folders
from codemode.executor.serving.api_keys import KeyInterceptor
from codemode.executor.serving.health_service import Health
from codemode.executor.serving.memory import give_back_memory
from codemode.executor.serving.service import ExecutorService
from codemode.executor.serving.socket_files import SocketFile
from codemode.executor.streams.canaries import run_canaries
from codemode.protos import codemode_pb2 as pb
from codemode.protos import codemode_pb2_grpc

__all__ = ["ExecutorServer"]

logger = logging.getLogger("codemode.executor")

_SERVICE_NAME = pb.DESCRIPTOR.services_by_name["ExecutorService"].full_name
_SHUTDOWN_GRACE = 5.0
_LAST_PORT = 65535
# An embedded executor ends with its client, whose calls have ended by then. A short
# grace period spares the connections a GOAWAY, which gRPC would print in the client.
_EMBEDDED_GRACE = 0.5

# A run takes one stream: the default of 100 per connection would be a hidden limit.
_OPTIONS = (
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.so_reuseport", 0),
    # Values travel in chunks of 1 MiB; code and tool descriptions are not chunked.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # How much a stream may send before it is read, even a stream without the key. With probing
    # gRPC would let this grow to many MiB; with less, large inputs need more round trips.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 256 * 1024),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # A client resolves a name again only when a connection ends. There is no grace period: its
    # expiry would end the runs and sessions of the connection, which otherwise go on.
    ("grpc.max_connection_age_ms", 5 * 60 * 1000),
    # A peer that disappears silently, as by a cut cable, is dropped after these two together.
    # A server (gRPC 1.85) waits as long as the second says, whatever keepalive_timeout_ms is.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.ping_timeout_ms", 30_000),
)


class ExecutorServer:
    """The server of an executor. Use it as an async context manager, or call ``run()``.

    Raises ConfigurationError when the configuration cannot be met, such as a
    TCP address without an API key or a tier that this host does not offer, and
    ZygoteStartError when no sandbox can be made or one does not hold.
    """

    def __init__(self, config: ExecutorConfig) -> None:
        self.config = config
        self._pools: Pools | None = None
        self._cgroups: Cgroups | None = None
        self.service: ExecutorService | None = None
        self._server: grpc.aio.Server | None = None
        self._health = Health()
        self._sockets: list[SocketFile] = []
        self._watchers: list[asyncio.Task[None]] = []
        self.addresses: list[str] = []
        self.isolation: Isolation | None = None
        self._health_changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def pools(self) -> Pools:
        """Return the pools of sandboxes; the server must have started."""
        assert self._pools is not None, "the server has not started"
        return self._pools

    async def start(self) -> None:
        """Start the pools and listen."""
        config = self.config
        self.isolation = isolation = await choose(
            config.min_tier, config.ceilings, tier=config.tier, exposed=exposed_folders(config)
        )
        _announce(isolation)
        self._cgroups = Cgroups()
        bounded = isolation.tier != "C" or "pids" in self._cgroups.controllers
        logger.log(
            logging.INFO if bounded else logging.WARNING,
            "control groups: %s%s",
            self._cgroups.detail,
            "" if bounded else "; one sandbox can take all the threads that this user may have",
        )
        by_sandbox = "cpu" in self._cgroups.controllers or cpu_is_shared_by_session()
        self.config = config = with_threads(config, cpu_by_sandbox=by_sandbox)
        if not by_sandbox:
            logger.info("the CPU is shared by thread: max_threads=%s", config.limits.max_threads)
        self._pools = pools = Pools(
            config, isolation, self._cgroups, run_canaries, self._health_changed.set
        )
        try:
            await pools.start()
            await self._listen(isolation, pools)
        except BaseException:
            await self.stop()
            raise
        self._watchers += (
            asyncio.create_task(self._watch_health(pools)),
            asyncio.create_task(give_back_memory()),
        )

    async def stop(self, grace: float = 0.0) -> None:
        """Refuse new work, give running executions ``grace`` seconds, end all processes."""
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.cancel()
        self._health.end()
        await asyncio.gather(*watchers, return_exceptions=True)
        if self._server is not None:
            await self._server.stop(grace)
        while self._sockets:
            self._sockets.pop().remove()
        if self._pools is not None:
            await self._pools.close()
        if self._cgroups is not None:
            await asyncio.to_thread(self._cgroups.close)

    async def run(self, on_ready: Callable[[list[str]], None]) -> None:
        """Serve until SIGTERM or SIGINT, or until the parent named by the configuration ends."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        parent = self.config.parent_pid_fd
        if parent is not None:
            # A pidfd becomes readable when its process has ended, however it ended.
            loop.add_reader(parent, stopping.set)
        async with self:
            on_ready(self.addresses)
            await stopping.wait()
            if parent is not None:
                loop.remove_reader(parent)
            logger.info("stopping")
            await self.stop(_EMBEDDED_GRACE if parent is not None else _SHUTDOWN_GRACE)

    async def _listen(self, isolation: Isolation, pools: Pools) -> None:
        config = self.config
        self.service = service = ExecutorService(
            config,
            pools,
            isolation=isolation.name,
            isolation_detail=isolation.detail,
        )
        key = config.api_key
        gates = [KeyInterceptor(key.get_secret_value())] if key is not None else []
        connections = ("grpc.max_allowed_incoming_connections", _most_connections(config))
        self._server = server = grpc.aio.server(
            interceptors=gates, options=(*_OPTIONS, connections)
        )
        codemode_pb2_grpc.add_ExecutorServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]  # generated
        self._health.add_to(server)
        names = (_SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        for address in config.listen:
            self.addresses.append(self._bind(server, address))
        await server.start()
        self._health.set_serving(True)

    def _bind(self, server: grpc.aio.Server, address: str) -> str:
        unix = address.startswith("unix:")
        if not unix and self.config.api_key is None:
            raise ConfigurationError(
                f"listening on {address!r} needs an API key: anybody who reaches the address could "
                "run code; set CODEMODE_EXECUTOR_API_KEY or --api-key-file, or listen on unix:/path"
            )
        host, _, asked = address.rpartition(":")
        if not unix and asked.isdecimal() and int(asked) > _LAST_PORT:
            # gRPC would listen on the number modulo 65,536.
            raise ConfigurationError(
                f"cannot listen on {address!r}: {asked} is not a port; ports are 0 to {_LAST_PORT}"
            )
        try:
            if unix:
                file = SocketFile.of(address)
                with file.bound() as bound:
                    server.add_insecure_port(bound)
                self._sockets.append(file)
                return address
            if self.config.tls is not None:
                port = server.add_secure_port(address, self._credentials())
            else:
                port = server.add_insecure_port(address)
        except (OSError, RuntimeError) as error:
            raise ConfigurationError(
                f"cannot listen on {address!r}: {error}; expected host:port or unix:/path that is "
                "free and allowed"
            ) from error
        return f"{host}:{port}"

    def _credentials(self) -> grpc.ServerCredentials:
        tls = self.config.tls
        assert tls is not None
        key, certificate, roots = tls.read("key_file"), tls.read("cert_file"), tls.read("ca_file")
        if key is None or certificate is None:
            raise ConfigurationError("TLS on the executor needs cert_file and key_file")
        return grpc.ssl_server_credentials(
            [(key, certificate)], root_certificates=roots, require_client_auth=roots is not None
        )

    async def _watch_health(self, pools: Pools) -> None:
        """Report NOT_SERVING while a pool has no zygote that has passed its canaries."""
        while True:
            await self._health_changed.wait()
            self._health_changed.clear()
            self._health.set_serving(pools.serving)


def _most_connections(config: ExecutorConfig) -> int:
    """Return the limit of connections per address, which leaves descriptors to sandboxes."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(config.max_connections, descriptors // 2 // len(config.listen)))


def _announce(isolation: Isolation) -> None:
    if not isolation.detail:
        logger.info("isolation: tier %s", isolation.tier)
    elif isolation.tier == "unsafe":
        logger.warning("NO ISOLATION: run only code that you would run yourself")
        logger.warning("isolation: none, which leaves open: %s", isolation.detail)
    else:
        logger.warning(
            "isolation: tier %s, which leaves open: %s", isolation.tier, isolation.detail
        )
