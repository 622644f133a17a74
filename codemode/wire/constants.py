"""Numbers that the executor and the sandbox must agree on."""

from __future__ import annotations

__all__ = ["EXIT_NO_MEMORY", "SANDBOX_USERS"]

EXIT_NO_MEMORY = 71
"""The exit status of a sandbox that has run out of memory."""

SANDBOX_USERS = 2_000
"""How many users the sandboxes of tier B have: a sandbox's number stands for itself modulo this."""
