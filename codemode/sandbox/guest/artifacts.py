"""The function ``artifact(path)``, which gives a file of the work folder to the caller."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping
from typing import Any

from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.output import Output
from codemode.sandbox.guest.recorded.turns import Files
from codemode.sandbox.guest.scope import RunScope
from codemode.wire.frames import Frame, pack_texts

__all__ = ["ArtifactLimit", "Artifacts"]

_LISTED = 5
_SHOWN_CHARACTERS = 200

# Captured at import: the executed code may replace these functions in their module.
_open = os.open
_close = os.close
_fdopen = os.fdopen
_fstat = os.fstat
_realpath = os.path.realpath
_environ = os.environ


class ArtifactLimit(ValueError):  # noqa: N818  # a run that ends by it reports this name
    """An artifact beyond the number or the bytes that a run may give."""


class Artifacts:
    """A sender of files, within the limits of a run.

    The limits are the executor's too. Here they are errors that the code can
    catch. Both are 0 where the caller is too old to take artifacts.
    """

    def __init__(self, frames: FrameSocket, output: Output, scope: RunScope) -> None:
        self._frames = frames
        self._output = output
        self._scope = scope
        self._lock = threading.RLock()
        self._most = 0
        self._most_bytes = 0
        self.turns: Files | None = None
        """The order in which the lines of a recorded run give files."""
        self.begin_run()

    def set_limits(self, limits: Mapping[str, Any]) -> None:
        """Take the limits of each run."""
        self._most = limits.get("artifacts", 0)
        self._most_bytes = limits.get("artifact_bytes", 0)

    def begin_run(self) -> None:
        """Count from the beginning again."""
        self._count = 0
        self._bytes = 0
        self.pictures = 0
        """The pictures that the code itself has given in this run, by the names of their files."""

    @property
    def accepted(self) -> bool:
        """Whether the caller takes artifacts."""
        return self._most > 0

    def give(self, path: str | os.PathLike[str]) -> None:
        """Give a file of the work folder to the caller, as it is now.

        Raises OSError for a file that cannot be read, ValueError for a file
        outside of the folder, an empty one and one above a limit, and TypeError
        for anything but a path.
        """
        if not self._scope.of_caller():
            # A task or thread of an earlier run: that run has been reported already.
            return
        shown = _path(path)
        name = os.path.basename(shown)
        with self._lock:
            self._check_count()
            self.send(name, _read(shown, self._most_bytes, self._most_bytes - self._bytes))
            self.pictures += name.lower().endswith(_OF_PICTURES)

    def send(self, name: str, data: bytes) -> None:
        """Send the bytes of a file. Raises ArtifactLimit."""
        with self._lock:
            self._check_count()
            if len(data) > self._most_bytes - self._bytes:
                raise _too_large(name, len(data), self._most_bytes, self._bytes)
            self._output.flush()
            # Counted first: an interrupted frame is still sent, by the next sender.
            self._count += 1
            self._bytes += len(data)
            for part in ((name, data),) if self.turns is None else self.turns.arrange((name, data)):
                self._send(*part)

    def end_run(self) -> None:
        """Send the files that wait for the turn of their line."""
        if self.turns is not None:
            with self._lock:
                for part in self.turns.rest():
                    self._send(*part)

    def _send(self, name: str, data: bytes) -> None:
        self._frames.send(Frame.ARTIFACT, self._scope.run, 0, pack_texts(name), data)

    def _check_count(self) -> None:
        if not self.accepted:
            raise RuntimeError(
                "artifact(): the caller of this code takes no files; return the data as the value"
            )
        if self._count >= self._most:
            raise ArtifactLimit(
                f"artifact(): the run has given as many files as it may (max_artifacts is "
                f"{self._most}); pack several into one, as shutil.make_archive does"
            )


_OF_PICTURES = (".eps", ".gif", ".jpeg", ".jpg", ".pdf", ".png", ".svg", ".tiff", ".webp")


def _path(path: object) -> str:
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):
        raise TypeError(
            f"artifact(path) takes the path of a file, not {type(path).__name__}: write a file "
            "first, and give its path"
        )
    return path


def _read(path: str, most: int, room: int) -> bytes:
    """Return the bytes of a file in the work folder, at most ``room``."""
    shown = _shown(path)
    folder = _realpath(_environ.get("TMPDIR", "."))
    real = _realpath(path)
    if real != folder and not real.startswith(f"{folder.rstrip('/')}/"):
        raise ValueError(
            f"artifact(): {shown} is outside of the work folder; write the file there, by a "
            "relative name such as 'sales.png'"
        )
    try:
        # A link may have come to its place since, and a named pipe would wait for a writer.
        descriptor = _open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileNotFoundError(f"artifact(): there is no file {shown}{_there(real)}") from None
    try:
        status = _fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(
                f"artifact(): {shown} is a folder; give each file, or pack it into one, as "
                "shutil.make_archive does"
            )
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"artifact(): {shown} is not a regular file")
        if status.st_size > room:
            raise _too_large(path, status.st_size, most, most - room)
        with _fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(room + 1)
    finally:
        _close(descriptor)
    if not data:
        raise ValueError(
            f"artifact(): {shown} is empty; close the file before it is given, or write it in a "
            "with block"
        )
    return data


def _too_large(path: str, size: int, most: int, given: int) -> ArtifactLimit:
    before = f", and {given:,} are given" if given else ""
    return ArtifactLimit(
        f"artifact(): {_shown(path)} has {size:,} bytes; all files of a run may have {most:,} "
        f"(max_artifact_bytes){before}: make it smaller"
    )


def _there(path: str) -> str:
    """Return the end of a message that lists the files beside one that is missing."""
    try:
        with os.scandir(os.path.dirname(path)) as entries:
            names = sorted(one.name for one in entries if one.name[0] != "." and one.is_file())
    except OSError:
        return "; its folder is not there either"
    if not names:
        return "; its folder has no files: write the file first"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; its folder has {', '.join(map(_shown, names[:_LISTED]))}{more}"


def _shown(path: str) -> str:
    text = repr(path)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
