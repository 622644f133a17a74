from __future__ import annotations

import asyncio
import os
import time

from codemode import tool
from codemode.core.context import RuntimeContext, set_current_context
from tests.servers.project.identity import identity, note

# A tool sets this context; neither the next tool nor the next request may see it.
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
    """Report to the tests the code's process and the process that serves it."""
    note(
        {
            "kind": "run",
            "sandbox": pid,
            "process": os.getpid(),
            "seen": [identity()],
            "expected": identity(),
        }
    )
