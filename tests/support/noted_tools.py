"""Tools that note each real execution, and whose answers show which execution they are of."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from codemode import Codemode, ToolError, get_current_execution

__all__ = ["NotedPass", "register_noted_tools", "within"]


@dataclass(slots=True, kw_only=True)
class NotedPass:
    """One pass of a program: how long its tools take, and which of them ran.

    ``serials`` is shared by all passes of a program, so that each execution has its own.
    """

    seed: int
    serials: itertools.count[int] = field(default_factory=itertools.count)
    executed: list[tuple[str | None, str, int]] = field(default_factory=list)
    """Label, tool and serial of each execution."""
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def latency(self) -> float:
        """Return the seconds that the next call takes, 0 to 8 ms."""
        return self._rng.choice((0.0, self._rng.random() * 0.008, self._rng.random() * 0.003))

    def fails(self) -> bool:
        return self._rng.random() < 0.4

    def note(self, tool: str, key: str) -> dict[str, Any]:
        execution = get_current_execution()
        serial = next(self.serials)
        self.executed.append((getattr(execution, "label", None), tool, serial))
        return {"tool": tool, "key": key, "serial": serial}


_current: ContextVar[NotedPass] = ContextVar("current")


class within:  # noqa: N801 - reads as a statement
    """The block in which tools belong to a pass."""

    def __init__(self, noted: NotedPass) -> None:
        self._noted = noted

    def __enter__(self) -> NotedPass:
        self._token = _current.set(self._noted)
        return self._noted

    def __exit__(self, *exc_info: object) -> None:
        _current.reset(self._token)


async def fetch(key: str, extra: Any = None) -> dict[str, Any]:
    """Take up to 8 ms."""
    answer = _current.get().note("fetch", key)
    await asyncio.sleep(_current.get().latency())
    return answer


async def quick(key: str, extra: Any = None) -> dict[str, Any]:
    """Answer at once."""
    return _current.get().note("quick", key)


async def slow(key: str, extra: Any = None) -> dict[str, Any]:
    """Take up to 16 ms."""
    answer = _current.get().note("slow", key)
    await asyncio.sleep(_current.get().latency() + _current.get().latency())
    return answer


async def bulky(key: str, extra: Any = None) -> dict[str, Any]:
    """Answer with more than a replay carries inline."""
    return {**_current.get().note("bulky", key), "blob": key.encode() * 7_000}


async def flaky(key: str, extra: Any = None) -> int:
    """Fail often."""
    serial = int(_current.get().note("flaky", key)["serial"])
    await asyncio.sleep(_current.get().latency())
    if _current.get().fails():
        raise ToolError(f"flaky {key} {serial}")
    return serial


def lookup(key: str, extra: Any = None) -> dict[str, Any]:
    """Block for up to 3 ms, but seldom."""
    answer = _current.get().note("lookup", key)
    time.sleep(max(_current.get().latency() - 0.005, 0.0))
    return answer


def shaky(key: str, extra: Any = None) -> int:
    """Fail often."""
    serial = int(_current.get().note("shaky", key)["serial"])
    if _current.get().fails():
        raise ToolError(f"shaky {key} {serial}")
    return serial


def register_noted_tools(codemode: Codemode) -> None:
    for tool in (fetch, quick, slow, bulky, flaky, lookup, shaky):
        codemode.registry.register_tool(tool.__name__, tool)
