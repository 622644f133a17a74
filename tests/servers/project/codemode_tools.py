from __future__ import annotations

import asyncio
import os
import time

from codemode import tool
from codemode.core.context import RuntimeContext, set_current_context
from tests.servers.project.identity import identity, note

# What a tool sets must reach nobody, neither the next tool nor the next request.
LEFT = RuntimeContext({"tenant_id": "left by a tool"})


@tool
def whoami() -> list[str | None]:
    first = identity()
    time.sleep(0.001)
    seen = [first, identity()]
    set_current_context(LEFT)
    return seen


@tool
async def awhoami() -> list[str | None]:
    first = identity()
    await asyncio.sleep(0.001)
    seen = [first, identity()]
    set_current_context(LEFT)
    return seen


@tool
def here(pid: int) -> None:
    """Tell the tests which process the code is, and which one serves it."""
    note(
        {
            "kind": "run",
            "sandbox": pid,
            "process": os.getpid(),
            "seen": [identity()],
            "expected": identity(),
        }
    )
