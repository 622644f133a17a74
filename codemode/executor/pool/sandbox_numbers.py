"""The numbers of an executor's sandboxes, which in tier B determine their system users."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from codemode.wire.constants import SANDBOX_USERS

__all__ = ["SandboxNumbers"]


class SandboxNumbers:
    """A source of unique numbers for an executor's sandboxes, and of their users in tier B.

    No number is used twice, because it names a folder that may be removed later
    than its sandbox ends. A user is used again once its sandbox has ended.
    """

    def __init__(self, tier: str) -> None:
        self._numbers: Iterator[int] = itertools.count(1)
        self._has_users = tier == "B"
        self._taken: set[int] = set()

    def take(self) -> int:
        """Return the next number whose user is free. Raises OSError when none is."""
        for number in itertools.islice(self._numbers, SANDBOX_USERS):
            user = number % SANDBOX_USERS
            if not self._has_users or user not in self._taken:
                self._taken.add(user)
                return number
        raise OSError(f"all {SANDBOX_USERS} users of tier B have a sandbox")

    def give_back(self, number: int) -> None:
        """Free the user of a number whose sandbox has ended."""
        self._taken.discard(number % SANDBOX_USERS)
