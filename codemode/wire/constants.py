"""Numbers and names that several processes must agree on."""

from __future__ import annotations

__all__ = [
    "DESCRIBE",
    "EXIT_NO_MEMORY",
    "LOOKUPS",
    "MAX_HINTS",
    "MAX_HINT_CHARACTERS",
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

SEARCH = "tools.search"
DESCRIBE = "tools.describe"
LOOKUPS = frozenset({SEARCH, DESCRIBE})
"""Reserved names, by which a sandbox asks the caller's process about tools; no tool has them."""

MOST_LOOKUPS = 1_000
"""The number of such questions in one run, which are not counted as tool calls."""

SANDBOX_USERS = 2_000
"""The number of system users of tier B; a sandbox's user is its number modulo this."""
