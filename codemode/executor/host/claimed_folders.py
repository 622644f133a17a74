"""Folders that belong to a running process, and folders that a killed process has left.

A claim is a lock on the folder itself. It ends with the process, even a killed one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

__all__ = ["abandoned", "claim"]


def claim(path: str | os.PathLike[str]) -> int:
    """Claim a new folder; return the descriptor that holds the claim until it is closed.

    Raises OSError, for example when another process has the claim.
    """
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Before this lock another process may have removed the folder as abandoned.
        os.stat(path, follow_symlinks=False)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def abandoned(parent: str | os.PathLike[str], prefix: str) -> Iterator[str]:
    """Yield this user's folders that nobody claims; each is claimed until the next one."""
    try:
        names = os.listdir(parent)
    except OSError:
        return
    for name in names:
        if not name.startswith(prefix):
            continue
        path = os.path.join(parent, name)
        try:
            descriptor = _open(path)
        except OSError:
            continue  # another user's, or gone
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.geteuid():
                yield path
        except BlockingIOError:
            pass  # in use
        finally:
            os.close(descriptor)


def _open(path: str | os.PathLike[str]) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
