"""Tools of the site that the tests visit."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from codemode import tool
from codemode.core.registry import get_current_context

HOSTILE = (
    "<img src=x onerror=\"document.title='broken in'\"><script>document.title='broken in'</script>"
)


@tool(name="wait.s")
def wait(seconds: float) -> str:
    """Sleep in the caller's thread."""
    time.sleep(seconds)
    return "slept"


@tool(name="wait.a")
async def wait_async(seconds: float) -> str:
    """Sleep in the caller's loop."""
    await asyncio.sleep(seconds)
    return "slept"


@tool(name="wait.there")
def wait_for_file(path: str) -> str:
    """Wait until a test has created a file."""
    while not Path(path).exists():
        time.sleep(0.02)
    return "there"


@tool
def fail(text: str) -> None:
    """Raise ValueError with the given text."""
    raise ValueError(text)


@tool(description=HOSTILE)
def hostile(text: str = "</script><script>") -> str:
    return HOSTILE


@tool
def whoami() -> dict[str, str]:
    """Return the context."""
    return {name: str(value) for name, value in (get_current_context() or {}).items()}
