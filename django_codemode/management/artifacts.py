"""The folder into which ``codemode_exec`` writes the artifacts of code."""

from __future__ import annotations

import os
from pathlib import Path

from codemode.core.artifact import Artifact
from django_codemode.management.options import usage_error

__all__ = ["ArtifactFolder"]

_MOST_OF_A_NAME = 10_000


class ArtifactFolder:
    """A folder for artifacts, made if it is missing, in which nothing is overwritten.

    Raises CommandError, like ``write``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise usage_error(
                f"--artifacts {str(path)!r} is not a folder and cannot be made: {error.strerror}"
            ) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise usage_error(f"--artifacts {str(path)!r}: this user may not write to the folder")

    def write(self, artifact: Artifact) -> Path:
        """Write an artifact under its name or, where that is taken, with a number; return where."""
        name = Path(artifact.name)
        for number in range(1, _MOST_OF_A_NAME):
            path = self._path / (f"{name.stem}-{number}{name.suffix}" if number > 1 else name)
            try:
                with path.open("xb") as file:  # which follows no link either
                    file.write(artifact.data)
            except FileExistsError:
                continue
            except OSError as error:
                raise usage_error(
                    f"--artifacts: {str(path)!r} cannot be written: {error.strerror}"
                ) from error
            return path
        raise usage_error(f"--artifacts {str(self._path)!r} is full of files named {str(name)!r}")
