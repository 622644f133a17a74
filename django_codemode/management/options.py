"""The common parts of the commands: help format, acting user and context."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, DjangoHelpFormatter
from django.db import DatabaseError

from codemode.core.context import RuntimeContext
from django_codemode.permissions import SYSTEM

__all__ = [
    "EXIT_USAGE",
    "HelpFormatter",
    "add_context_options",
    "context_of",
    "split",
    "usage_error",
]

EXIT_USAGE = 2


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Help formatter that keeps the lines of examples, and Django's own options last."""


def add_context_options(parser: ArgumentParser) -> None:
    """Add --user and --context, which set the user and the context of the command."""
    parser.add_argument(
        "--user", metavar="NAME", help="act as this user, whose permissions then count"
    )
    parser.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="set a variable of the tools' RuntimeContext; may be repeated",
    )


def context_of(
    pairs: Iterable[str], username: str | None, *, nobody: object = SYSTEM
) -> RuntimeContext:
    """Return the context that the options describe; without a user, ``nobody`` acts."""
    variables: dict[str, Any] = dict(split(pair, "--context", "NAME=TEXT") for pair in pairs)
    if "user" in variables:
        raise usage_error("--context cannot set the user; use --user NAME")
    variables["user"] = nobody if username is None else _user(username)
    return RuntimeContext(variables)


def split(pair: str, option: str, form: str) -> tuple[str, str]:
    """Return the two sides of ``NAME=VALUE``."""
    name, separator, value = pair.partition("=")
    if not separator or not name:
        raise usage_error(f"{option} {pair!r} is not {form}")
    return name, value


def usage_error(message: str) -> CommandError:
    """Return the error for a command that was used wrongly."""
    return CommandError(message, returncode=EXIT_USAGE)


def _user(name: str) -> Any:
    model = get_user_model()
    try:
        return model._default_manager.get(**{model.USERNAME_FIELD: name})
    except model.DoesNotExist as error:
        raise usage_error(f"--user {name!r}: there is no such user") from error
    except DatabaseError as error:
        raise usage_error(
            f"--user {name!r}: the database cannot be asked ({error}); has it been migrated?"
        ) from error
