"""The number and the bytes of the artifacts that the code of a run has given, and their limits."""

from __future__ import annotations

from codemode.config import Limits

__all__ = ["ArtifactCount"]


class ArtifactCount:
    """A count of artifacts. Both limits are 0 for a client that does not accept artifacts."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.max_artifacts
        self._most_bytes = limits.max_artifact_bytes
        self._count = 0
        self._bytes = 0

    def add(self, size: int) -> tuple[str, str] | None:
        """Count an artifact; return the type and message of the limit that it exceeds, or None."""
        if self._count >= self._most:
            return "ArtifactLimit", f"the code gave more than max_artifacts={self._most} files"
        if self._bytes + size > self._most_bytes:
            return (
                "ArtifactLimit",
                f"the code gave files of more than max_artifact_bytes={self._most_bytes} in all",
            )
        self._count += 1
        self._bytes += size
        return None
