"""Executors that serve from the process of the test."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

from codemode import ClientConfig, Codemode, ExecutorConfig
from codemode.config import Tier
from codemode.executor.serving.server import ExecutorServer
from tests.support.processes import ending_all_it_starts

__all__ = ["serving"]


@contextlib.asynccontextmanager
async def serving(
    tier: Tier = "unsafe", **options: Any
) -> AsyncIterator[tuple[Codemode, ExecutorServer]]:
    """Serve from this process; the executor must leave nothing behind."""
    with ending_all_it_starts(), tempfile.TemporaryDirectory(prefix="cm-test-") as folder:
        url = f"unix:{folder}/socket"
        config = ExecutorConfig(
            # Without isolation, the code's own process ids and folders are those that the test
            # sees.
            **{"listen": (url,), "min_tier": tier, "tier": tier, "pool_size": 2, **options}
        )
        async with (
            ExecutorServer(config) as server,
            Codemode.from_client_config(ClientConfig(executor_url=url)) as codemode,
        ):
            yield codemode, server
