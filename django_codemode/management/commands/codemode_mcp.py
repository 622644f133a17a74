"""``manage.py codemode_mcp``: the project's tools for an assistant or editor on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand

from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from django_codemode.database import close_connections
from django_codemode.management.options import (
    HelpFormatter,
    add_context_options,
    context_of,
    usage_error,
)
from django_codemode.mcp.offer import Offer
from django_codemode.shared import get_codemode, shared

__all__ = ["Command"]

_EPILOG = """\
examples:
  manage.py codemode_mcp --user alice --print-config           for a desktop assistant
  manage.py codemode_mcp --user alice --print-config vscode    for VS Code
  manage.py codemode_mcp --user alice --context tenant_id=acme

The client starts this command and talks to it by stdin and stdout. It gets the tools that
--user may call; without --user, those that need no permission. What anything else prints goes
to stderr, which clients show as the log of the server.

exit status:
  0    the client has closed stdin
  2    the command was used wrongly, a setting is wrong, or the package mcp is missing
"""
_KEYS = {"assistant": "mcpServers", "vscode": "servers"}


class Command(BaseCommand):
    """Command that serves the project's tools by MCP over the standard streams."""

    help = "Serve the tools of this project by MCP over stdin and stdout."
    # Their report would be in the place of the first message. A wrong setting ends the command.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.formatter_class = HelpFormatter
        parser.epilog = _EPILOG
        add_context_options(parser)
        parser.add_argument(
            "--print-config",
            nargs="?",
            const="assistant",
            choices=sorted(_KEYS),
            help="print what to put into the configuration of the client, and end; vscode is for "
            "VS Code, and assistant, the default, for Claude, Cursor and most others",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a separate process, which closes its executor when it ends."""
        try:
            super().run_from_argv(argv)
        finally:
            shared.close()

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until the client closes stdin, or print the configuration."""
        context = context_of(options["context"], options["user"], nobody=None)
        if options["print_config"]:
            document = _configuration(options)
            self.stdout.write(json.dumps(document, ensure_ascii=False, indent=2))
            return
        try:
            from django_codemode.mcp.stdio import serve_stdio
        except ImportError as error:
            raise usage_error(str(error)) from error
        stdout = _take_stdout()
        try:
            get_codemode()  # a wrong setting is better reported now than to a model
        except ConfigurationError as error:
            raise usage_error(str(error)) from error
        close_connections()  # requests have threads and connections of their own
        # As SIGTERM does, and the executor with it: the thread that reads stdin cannot be stopped.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        asyncio.run(serve_stdio(Offer(), lambda: _reloaded(context), stdout=stdout))


def _take_stdout() -> TextIO:
    """Return stdout for the messages alone; whatever else writes to it now reaches stderr.

    That holds for this process and its children until they end, and for what
    is still in a buffer.
    """
    messages = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(messages, "w", encoding="utf-8")


def _reloaded(context: RuntimeContext) -> RuntimeContext:
    """Return the context with its user as the database has it now. Raises PermissionDenied."""
    user = context.get("user")
    if user is None:
        return context
    fresh = type(user)._default_manager.filter(pk=user.pk).first()
    if fresh is None or not fresh.is_active:
        raise PermissionDenied(f"the user {user} is gone or inactive")
    return context.merged(user=fresh)


def _configuration(options: dict[str, Any]) -> dict[str, Any]:
    script = Path(sys.argv[0]).resolve()
    is_script = script.name == "manage.py"
    arguments = [str(script)] if is_script else ["-m", "django"]
    arguments.append("codemode_mcp")
    if options["user"] is not None:
        arguments += ["--user", options["user"]]
    for pair in options["context"]:
        arguments += ["--context", pair]
    # The client starts it in a folder of its own choice.
    folders = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if not is_script:
        folders.insert(0, ".")
    environment = {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", ""),
        "PYTHONPATH": os.pathsep.join(str(Path(folder).resolve()) for folder in folders),
    }
    server = {
        "command": sys.executable,
        "args": arguments,
        "env": {name: value for name, value in environment.items() if value},
    }
    return {_KEYS[options["print_config"]]: {Path.cwd().name: server}}
