"""The public place of the executor's server, for programs that serve in a process of their own."""

from __future__ import annotations

from codemode.executor.serving.server import ExecutorServer

__all__ = ["ExecutorServer"]
