"""The gRPC service of the executor: info and Execute streams."""

from __future__ import annotations

import platform
from typing import Any, override

from codemode._version import __version__
from codemode.config import ExecutorConfig
from codemode.executor.host.limits import to_message
from codemode.executor.pool.pools import Pools
from codemode.executor.streams.admission import Admission
from codemode.executor.streams.execute_stream import ExecuteStream, ExecutorResources
from codemode.protos import codemode_pb2 as pb
from codemode.protos import codemode_pb2_grpc
from codemode.wire.protobuf import PROTOCOL_VERSION, features_with

__all__ = ["ExecutorService"]


class ExecutorService(codemode_pb2_grpc.ExecutorServiceServicer):
    """The servicer of ``codemode.v1.ExecutorService``, on the given pools."""

    def __init__(
        self,
        config: ExecutorConfig,
        pools: Pools,
        *,
        isolation: str,
        isolation_detail: str,
    ) -> None:
        self.isolation_detail = isolation_detail
        self.admission = Admission(
            slots=config.concurrency,
            slots_per_key=config.max_concurrency_per_key,
            max_queued=config.max_queued,
            max_queued_bytes=config.max_queued_bytes,
        )
        self._resources = ExecutorResources(
            config=config,
            pools=pools,
            admission=self.admission,
            isolation=isolation,
            version=__version__,
        )

    @override
    async def Execute(self, request_iterator: Any, context: Any) -> None:
        """Serve one sandbox over its stream, as the wire contract specifies."""
        refusal = await ExecuteStream(self._resources, context).serve()
        if refusal is not None:
            # Aborted here, where no stack frame holds the request any more: what gRPC raises, and
            # the stack frames that it passes, stay in memory until the garbage collector runs.
            await context.abort(*refusal)

    @override
    async def GetInfo(self, request: pb.GetInfoRequest, context: Any) -> pb.GetInfoResponse:
        """Describe this executor."""
        resources = self._resources
        config = resources.config
        return pb.GetInfoResponse(
            protocol_version=PROTOCOL_VERSION,
            executor_version=resources.version,
            python_version=platform.python_version(),
            isolation=resources.isolation,
            isolation_detail=self.isolation_detail,
            default_limits=to_message(config.limits),
            ceilings=to_message(config.ceilings),
            max_execution_timeout=config.ceilings.execution_timeout,
            profiles=[
                pb.Profile(name=name, preloaded_modules=profile.modules)
                for name, profile in resources.pools.profiles.items()
            ],
            max_concurrency=config.concurrency,
            max_queued=config.max_queued,
            features=features_with(resources.isolation),
        )
