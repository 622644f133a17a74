"""Tools of the site that the tests visit."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from codemode import tool
from codemode.core.registry import RuntimeContext, get_current_context

HOSTILE = (
    "<img src=x onerror=\"document.title='broken in'\"><script>document.title='broken in'</script>"
)

audited: list[dict[str, str]] = []


def audit(*, context: RuntimeContext, **_others: Any) -> None:
    audited.append(texts(context))


def texts(context: RuntimeContext | None) -> dict[str, str]:
    return {name: str(value) for name, value in (context or {}).items()}


@tool(name="wait.s", effects="reads")
def wait(seconds: float) -> str:
    """Sleep in the caller's thread."""
    time.sleep(seconds)
    return "slept"


@tool(name="wait.a", effects="reads")
async def wait_async(seconds: float) -> str:
    """Sleep in the caller's loop."""
    await asyncio.sleep(seconds)
    return "slept"


@tool(name="wait.there", effects="reads")
def wait_for_file(path: str) -> str:
    """Wait until a test has created a file."""
    while not Path(path).exists():
        time.sleep(0.02)
    return "there"


@tool(effects="reads")
def fail(text: str) -> None:
    """Raise ValueError with the given text."""
    raise ValueError(text)


@tool(description=HOSTILE, effects="reads")
def hostile(text: str = "</script><script>") -> str:
    return HOSTILE


@tool(effects="reads")
def whoami() -> dict[str, str]:
    """Return the context."""
    return texts(get_current_context())


@tool(effects="reads")
def last_audit() -> dict[str, str]:
    """Return the context that a receiver of execution_started last saw."""
    return audited[-1]


@tool(effects="reads")
def rows(count: int, text: str = "") -> list[dict[str, Any]]:
    """Return rows."""
    return [{"n": n, "text": text} for n in range(count)]


@tool(effects="database")
def save(text: str) -> str:
    """Save a text, or so it says."""
    return f"saved {text}"
