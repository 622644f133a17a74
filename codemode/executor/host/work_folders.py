"""The folders that sandboxes write to where they have no separate file system.

What hostile code leaves is removed, however deep or large, without following links.
"""

from __future__ import annotations

import itertools
import logging
import os
import stat
import tempfile
from pathlib import Path

from codemode.executor.host.claimed_folders import abandoned, claim

__all__ = ["WorkFolder", "remove_abandoned", "remove_folder"]

logger = logging.getLogger("codemode.executor")

_PREFIX = "codemode-sandboxes-"
_OPEN_TO_ALL = "/tmp"  # noqa: S108  # mkdtemp makes a private folder in it


class WorkFolder:
    """A claimed folder, in which the sandboxes of a tier have their folders. Raises OSError.

    In tier B each sandbox runs as a separate system user. That user can enter
    this folder but not list it, and the folder lies where the user has access.
    """

    def __init__(self, tier: str) -> None:
        parent = tempfile.gettempdir()
        if tier == "B" and not _others_may_enter(parent):
            parent = _OPEN_TO_ALL
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            try:
                self._claim = claim(self.path)
                break
            except (BlockingIOError, FileNotFoundError):
                pass  # another executor has just taken it for abandoned
        if tier == "B":
            os.chmod(self.path, 0o711)  # noqa: S103  # for entry only, by names that are not disclosed

    def remove(self) -> None:
        """Remove the folder with all that is in it. Idempotent."""
        remove_folder(self.path)
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


def remove_abandoned(parent: str | os.PathLike[str]) -> None:
    """Remove the folders that killed executors have left in ``parent``."""
    for path in abandoned(parent, _PREFIX):
        remove_folder(path)


def _others_may_enter(folder: str) -> bool:
    path = Path(folder).resolve()
    return all(os.stat(one).st_mode & stat.S_IXOTH for one in (path, *path.parents))


def remove_folder(path: str | os.PathLike[str]) -> None:
    """Remove a folder and all that is in it, if it exists; log what cannot be removed.

    Works level by level: the folders in a folder are moved up before it is
    removed. So a tree of any depth needs two descriptors and no recursion.
    """
    try:
        top = _open(path)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.error("the folder %s could not be removed: %s", path, error)


def _open(path: str | os.PathLike[str], folder: int | None = None) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def _empty(top: int) -> None:
    # Names that the code cannot have taken.
    names = (f"{os.urandom(8).hex()}-{number}" for number in itertools.count())
    while folders := _remove_files(top):
        for name in folders:
            if _rmdir(name, top):
                continue
            folder = _open(name, top)
            try:
                for inner in _remove_files(folder):
                    os.rename(inner, next(names), src_dir_fd=folder, dst_dir_fd=top)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)


def _remove_files(folder: int) -> list[str]:
    """Remove all files in a folder; return the names of the folders in it."""
    if not os.fstat(folder).st_mode & stat.S_IWUSR:
        os.fchmod(folder, stat.S_IRWXU)
    folders = []
    for name in os.listdir(folder):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            # The code, dead by now, may have locked the folder; then it cannot even be moved.
            os.chmod(name, stat.S_IRWXU, dir_fd=folder)
            folders.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return folders


def _rmdir(name: str, folder: int) -> bool:
    """Remove an empty folder, even one that nobody may read; return whether it worked."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError:
        return False
    return True
