"""Numbers and names that several processes must agree on."""

from __future__ import annotations

__all__ = [
    "DESCRIBE",
    "EXIT_NO_MEMORY",
    "LABEL",
    "LOOKUPS",
    "MAX_HINTS",
    "MAX_HINT_CHARACTERS",
    "MAX_STEPS_BYTES",
    "MOST_LOOKUPS",
    "SANDBOX_USERS",
    "SEARCH",
]

EXIT_NO_MEMORY = 71
"""The exit status by which the executor learns that a run is out of memory."""

MAX_HINTS = 20
"""The number of hints of a run that are passed on, by each process on the way."""

MAX_HINT_CHARACTERS = 1_000
"""The length to which each hint is cut, by each process on the way."""

LABEL = r"[A-Za-z0-9.:_-]{1,200}"
"""The form of a recorded call's label, as a regular expression that matches all of it."""

MAX_STEPS_BYTES = 64 * 1024
"""The size of one piece of a recorded run's steps, and of the arguments of a divergence."""

SEARCH = "tools.search"
DESCRIBE = "tools.describe"
LOOKUPS = frozenset({SEARCH, DESCRIBE})
"""Reserved names, by which a sandbox asks the caller's process about tools; no tool has them."""

MOST_LOOKUPS = 1_000
"""The number of such questions in one run, which are not counted as tool calls."""

SANDBOX_USERS = 2_000
"""The number of system users of tier B; a sandbox's user is its number modulo this."""
