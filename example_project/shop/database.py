"""The example's database, made on first use."""

from __future__ import annotations

from pathlib import Path

from django.core.files import locks
from django.core.management import call_command

from shop.seed import seed

__all__ = ["prepare_database"]


def prepare_database() -> None:
    """Migrate and seed the example's database, even if several commands start at once."""
    # This file serves as the lock, so that no lock file is left behind.
    with Path(__file__).open() as lock:
        locks.lock(lock, locks.LOCK_EX)
        call_command("migrate", verbosity=0)
        seed()
