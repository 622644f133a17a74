"""The Unix sockets that the executor listens on, as files that belong to it alone."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from codemode.errors.base import ConfigurationError

__all__ = ["SocketFile"]

_MOST_BYTES = 107
_OWNER_ONLY = 0o177


class SocketFile:
    """The file of one Unix socket, which never replaces or removes another executor's file.

    gRPC would replace a socket that another executor listens on, and at its end
    it removes whatever file is there by then. It therefore receives a temporary
    name of the file, which no longer exists once it listens.

    Raises ConfigurationError for a path that is taken or cannot be a socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        _check(path)

    @contextlib.contextmanager
    def bound(self) -> Iterator[str]:
        """Yield a temporary address for gRPC to bind; then rename its file to the path."""
        name = self._path.with_name(f".{os.getpid()}")
        before = os.umask(_OWNER_ONLY)
        try:
            yield f"unix:{name}"
        finally:
            os.umask(before)
        found = name.stat()
        name.rename(self._path)
        self._file = found.st_dev, found.st_ino

    @classmethod
    def of(cls, address: str) -> Self:
        """Return the file of the address ``unix:/path`` or ``unix:///path``."""
        return cls(Path(address.removeprefix("unix:").removeprefix("//")))

    def remove(self) -> None:
        """Remove the file, unless another file has taken its place."""
        with contextlib.suppress(FileNotFoundError):
            found = self._path.lstat()
            if (found.st_dev, found.st_ino) == self._file:
                self._path.unlink()


def _check(path: Path) -> None:
    size = len(os.fsencode(path))
    if size > _MOST_BYTES:
        raise ConfigurationError(
            f"the socket path {str(path)!r} has {size} bytes; Linux allows {_MOST_BYTES}"
        )
    if not path.parent.is_dir():
        raise ConfigurationError(f"the folder of the socket {str(path)!r} does not exist")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(
            f"cannot listen on {str(path)!r}: there is a file that is not a socket"
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return  # left behind by a killed executor
        except OSError:
            pass
    raise ConfigurationError(
        f"cannot listen on {str(path)!r}: the socket is taken, such as by another executor; stop "
        "that one, or listen on another path"
    )
