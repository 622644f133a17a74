"""The source of recordings for runs that bring none, such as the cassette of a test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from codemode.core.recording import Recording

__all__ = ["RecordingSource", "recording_source", "use_source"]


class RecordingSource(Protocol):
    """A source of recordings, one for each run of this process that begins."""

    def recording_for(
        self, code: str, inputs: Mapping[str, Any], execution_id: str | None
    ) -> Recording:
        """Return the recording of a run that begins now. Safe from any thread."""


# Of the whole process: a test's runs begin in threads and tasks that inherit no context.
_source: RecordingSource | None = None
_lock = threading.Lock()


def recording_source() -> RecordingSource | None:
    """Return the source that is in use, if there is one."""
    return _source


@contextlib.contextmanager
def use_source(source: RecordingSource) -> Iterator[None]:
    """Give the runs of this process their recordings. Raises RuntimeError for a second source."""
    global _source
    with _lock:
        if _source is not None:
            raise RuntimeError(f"{_source} is in use already; leave its block first")
        _source = source
    try:
        yield
    finally:
        _source = None
