"""gRPC's health service, which needs no key, within bounds."""

from __future__ import annotations

from collections import Counter
from typing import Any, override

import grpc
from grpc_health.v1.health import aio  # type: ignore[attr-defined]  # the stubs leave it out

__all__ = ["HealthServicer"]

_MOST_WATCHES = 100


class HealthServicer(aio.HealthServicer):  # type: ignore[misc]  # as above
    """Tell whether the executor serves, to a limited number of watchers of each connection."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: Counter[str] = Counter()

    @override
    async def Watch(self, request: Any, context: Any) -> None:
        """Tell each change until the watcher leaves."""
        peer = context.peer()
        if self._watches[peer] >= _MOST_WATCHES:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"a connection may watch {_MOST_WATCHES} times at once; one tells each change",
            )
        self._watches[peer] += 1
        try:
            await super().Watch(request, context)
        finally:
            self._watches[peer] -= 1
            if not self._watches[peer]:
                del self._watches[peer]
