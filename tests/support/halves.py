"""The synchronous and the asynchronous half of the client."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from codemode import Codemode, ExecutionResult

__all__ = ["Half"]


class Half:
    """One of the two halves, run from a thread that has no event loop."""

    def __init__(self, name: Literal["sync", "async"]) -> None:
        self.name = name

    def run(self, codemode: Codemode, code: str, **options: Any) -> ExecutionResult:
        if self.name == "sync":
            return codemode.run(code, **options)
        return asyncio.run(codemode.run_async(code, **options))
