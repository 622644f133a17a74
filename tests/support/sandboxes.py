"""Sandboxes of a test, by their process ids."""

from __future__ import annotations

__all__ = ["Sandboxes"]


class Sandboxes:
    """A tool by which code reports the process ids of its sandboxes."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def run(self, pid: int) -> None:
        """Record a process id."""
        self.pids.append(pid)
