from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.contrib.staticfiles.management.commands.runserver import Command as StaticFilesCommand

from shop.database import prepare_database

if find_spec("daphne") and not TYPE_CHECKING:  # it has no annotations
    from daphne.management.commands.runserver import Command as DaphneCommand

    class ServerCommand(DaphneCommand):
        """Command that serves by ASGI, so that answers arrive as they are written."""

        def get_handler(self, *args: Any, **options: Any) -> Any:
            """Return the handler for ``--noasgi``, where daphne leaves out static files."""
            handler = super().get_handler(*args, **options)
            return StaticFilesHandler(handler) if options["use_static_handler"] else handler

else:
    ServerCommand = StaticFilesCommand


class Command(ServerCommand):
    """Command ``runserver`` that first makes the database of the example, if it is not there."""

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Prepare the database, then serve."""
        prepare_database()
        super().inner_run(*args, **options)
