"""Numbers that the executor and the sandbox must agree on."""

from __future__ import annotations

__all__ = ["EXIT_NO_MEMORY", "SANDBOX_USERS"]

EXIT_NO_MEMORY = 71
"""The exit status by which the executor learns that a run is out of memory."""

SANDBOX_USERS = 2_000
"""The number of system users of tier B; a sandbox's user is its number modulo this."""
