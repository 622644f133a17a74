"""Numbers on which two processes must agree."""

from __future__ import annotations

__all__ = ["EXIT_NO_MEMORY", "MAX_HINTS", "MAX_HINT_CHARACTERS", "SANDBOX_USERS"]

EXIT_NO_MEMORY = 71
"""The exit status by which the executor learns that a run is out of memory."""

MAX_HINTS = 20
"""The number of hints of a run that are passed on, by each process on the way."""

MAX_HINT_CHARACTERS = 1_000
"""The length to which each hint is cut, by each process on the way."""

SANDBOX_USERS = 2_000
"""The number of system users of tier B; a sandbox's user is its number modulo this."""
