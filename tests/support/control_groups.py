"""The control groups of an executor."""

from __future__ import annotations

from pathlib import Path

__all__ = ["folders"]


def folders(executor: int) -> set[Path]:
    """Return the groups of the executor with that process id."""
    return set(Path("/sys/fs/cgroup").glob(f"**/codemode-{executor}-*"))
