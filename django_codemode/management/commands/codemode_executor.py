"""``manage.py codemode_executor``: the executor, started from the project's environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand

import codemode

_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_KEPT_PREFIX = "CODEMODE_EXECUTOR_"


class Command(BaseCommand):
    """Command that becomes ``codemode-executor``, without Django in memory or environment."""

    help = (
        "Serve as the executor that runs models' code. Takes the options of codemode-executor; "
        "see --help. Of the environment it keeps CODEMODE_EXECUTOR_* and what a process needs, "
        "so that no secret of the project is near the code."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Pass on all options except Django's own."""
        django_options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        django_options.add_argument("--settings")
        django_options.add_argument("--pythonpath")
        django_options.add_argument("-v", "--verbosity")
        for switch in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
            django_options.add_argument(switch, action="store_true")
        _become_executor(django_options.parse_known_args(argv[2:])[1])

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Accept any arguments, for ``call_command``."""
        parser.add_argument("arguments", nargs="*", help="options of codemode-executor")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process by the executor."""
        _become_executor(options["arguments"])


def _become_executor(arguments: Sequence[str]) -> NoReturn:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIX)
    }
    # The executor needs no folder of the project but codemode's, which may be one of them.
    environment["PYTHONPATH"] = str(Path(codemode.__file__).parent.parent)
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", "codemode.executor", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606  no shell is wanted
