"""An executor that answers by a script."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc

from codemode import ClientConfig, Codemode
from codemode.protos import codemode_pb2 as pb
from codemode.protos import codemode_pb2_grpc
from codemode.values import encode

__all__ = ["DONE", "STARTED", "FakeExecutor", "scripted"]


class FakeExecutor(codemode_pb2_grpc.ExecutorServiceServicer):
    """A real gRPC server that answers with what the test wants an executor to send."""

    def __init__(self, script: Callable[[Iterator[pb.ClientMessage]], Iterator[Any]]) -> None:
        self.script = script
        self.streams = 0
        self.openings: list[pb.Open] = []

    def Execute(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802  # of the service
        self.streams += 1
        self.openings.append(next(request_iterator).open)
        for message in self.script(request_iterator):
            if isinstance(message, grpc.StatusCode):
                context.abort(message, "said the script")
            yield message


@contextlib.contextmanager
def scripted(
    script: Callable[[Iterator[pb.ClientMessage]], Iterator[Any]],
) -> Iterator[tuple[Codemode, FakeExecutor]]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    fake = FakeExecutor(script)
    codemode_pb2_grpc.add_ExecutorServiceServicer_to_server(fake, server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        config = ClientConfig(executor_url=f"http://127.0.0.1:{port}")
        with Codemode.from_client_config(config) as codemode:
            yield codemode, fake
    finally:
        server.stop(0).wait()


STARTED = pb.ExecutorMessage(started=pb.Started(run_id=1, isolation="A"))

DONE = pb.ExecutorMessage(completed=pb.Completed(run_id=1, value=encode(5)))
