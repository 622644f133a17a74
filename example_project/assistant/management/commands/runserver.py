from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from shop.database import prepare_database

# Where daphne is installed, the site is served by ASGI: answers arrive as they are written.
if find_spec("daphne") and not TYPE_CHECKING:  # it has no annotations
    from daphne.management.commands.runserver import Command as ServerCommand
else:
    from django.contrib.staticfiles.management.commands.runserver import Command as ServerCommand


class Command(ServerCommand):
    """Command ``runserver`` that first makes the database of the example, if it is not there."""

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Prepare the database, then serve."""
        prepare_database()
        super().inner_run(*args, **options)
