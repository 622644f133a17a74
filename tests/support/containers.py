"""Specifications of hosts that offer less, for lesser_host.py."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

__all__ = [
    "CONTAINER_CAPABILITIES",
    "LANDLOCK_CALLS",
    "LESSER_HOST",
    "NAMESPACE_CALLS",
    "NOBODY",
    "container",
]

LESSER_HOST = Path(__file__).with_name("lesser_host.py")
"""The program that becomes a command on such a host."""

NOBODY = 65534

NAMESPACE_CALLS = (
    "unshare setns mount umount2 pivot_root mount_setattr move_mount open_tree".split()
)

LANDLOCK_CALLS = "landlock_create_ruleset landlock_add_rule landlock_restrict_self".split()

# The capabilities, by number, that container runtimes leave to root by default.
CONTAINER_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)


def container(*, landlock: int = 0, namespaces: int = errno.EPERM, **spec: Any) -> dict[str, Any]:
    """Describe a container with the usual seccomp profile, with an errno for Landlock or 0."""
    answers = dict.fromkeys(NAMESPACE_CALLS, namespaces) | {"clone3": errno.ENOSYS}
    if landlock:
        answers |= dict.fromkeys(LANDLOCK_CALLS, landlock)
    return {
        "answers": answers,
        "no_new_namespaces": True,
        "capabilities": CONTAINER_CAPABILITIES,
        **spec,
    }
