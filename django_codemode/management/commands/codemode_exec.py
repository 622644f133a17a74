"""``manage.py codemode_exec``: execute code with the project's tools, from a shell."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from codemode.core.context import use_context
from codemode.core.events import ExecutionCompleted, OutputReceived
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError, ExecutorClientError, ValueEncodingError
from django_codemode.management.options import (
    EXIT_USAGE,
    HelpFormatter,
    add_context_options,
    context_of,
    split,
    usage_error,
)
from django_codemode.payload import result_as_json
from django_codemode.shared import get_codemode, shared

__all__ = ["CodeFailedError", "Command", "ExecutorFailedError"]

EXIT_FAILED = 1
EXIT_EXECUTOR = 3
EXIT_STOPPED = 4
EXIT_INTERRUPTED = 130

_EPILOG = """\
examples:
  manage.py codemode_exec 'result = sum(range(10))'
  manage.py codemode_exec -f report.py --input 'year=2026' --context tenant_id=acme
  echo 'print(tools.search("refund"))' | manage.py codemode_exec - --user alice --json

The code's own stdout and stderr go to stdout and stderr as they come; its result is the
last thing on stdout, and nothing when it is None. Without --user the code acts as the
system, which may call every tool.

exit status:
  0    the code completed
  1    the code failed: it raised, or its result cannot travel
  2    the command was used wrongly, or a setting is wrong
  3    the executor cannot be reached, or refused
  4    the code was stopped: limit, timeout, cancelled, or its sandbox crashed
  130  Ctrl-C
"""


class CodeFailedError(CommandError):
    """Tell that the code did not complete."""


class ExecutorFailedError(CommandError):
    """Tell that something went wrong outside the code."""


class Command(BaseCommand):
    """Execute code with the project's tools."""

    help = "Execute Python in the sandbox, with the tools of this project."
    # A wrong setting is told with the exit status of its own; the rest of the
    # project's checks have no say in whether code runs.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.formatter_class = HelpFormatter
        parser.epilog = _EPILOG
        parser.add_argument(
            "code", nargs="?", metavar="CODE", help="the code itself, or - to read it from stdin"
        )
        parser.add_argument("-f", "--file", type=Path, help="read the code from this file")
        parser.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="NAME=JSON",
            help="set a global variable of the code, such as 'city=\"Oslo\"'; may be repeated",
        )
        parser.add_argument(
            "--tools",
            metavar="NAME,NAME",
            help="the tools that the code may call, '' for none (default: all)",
        )
        parser.add_argument(
            "--timeout", type=float, metavar="SECONDS", help="wall clock that the code may use"
        )
        add_context_options(parser)
        parser.add_argument(
            "--json", action="store_true", help="print the whole outcome as one JSON object"
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a process of its own, which takes its executor along when it ends."""
        try:
            super().run_from_argv(argv)
        finally:
            shared.close()

    def handle(self, *args: Any, **options: Any) -> None:
        """Execute, and raise CommandError with the exit status unless the code completed."""
        code = _code(options["code"], options["file"])
        context = context_of(options["context"], options["user"])
        arguments = {
            "inputs": dict(_input(one) for one in options["input"]),
            "available_tools": _names(options["tools"]),
            "execution_timeout": options["timeout"],
        }
        try:
            with use_context(context):
                result = self._run(code, arguments, live=not options["json"])
        except KeyboardInterrupt:
            raise CommandError("interrupted", returncode=EXIT_INTERRUPTED) from None
        except (ConfigurationError, ValueEncodingError) as error:
            raise CommandError(str(error), returncode=EXIT_USAGE) from error
        except ExecutorClientError as error:
            if error.result is not None:
                self._report(error.result, as_json=options["json"])
            raise ExecutorFailedError(str(error), returncode=EXIT_EXECUTOR) from error
        self._report(result, as_json=options["json"])
        if not result.ok:
            status = EXIT_FAILED if result.status == "failed" else EXIT_STOPPED
            raise CodeFailedError(_why(result), returncode=status)

    def _run(self, code: str, arguments: dict[str, Any], *, live: bool) -> ExecutionResult:
        with get_codemode().stream(code, **arguments) as events:
            for event in events:
                if isinstance(event, OutputReceived) and live:
                    self._pass_on(event)
                elif isinstance(event, ExecutionCompleted):
                    return event.result
        raise AssertionError("a stream ends with its result or raises")

    def _pass_on(self, output: OutputReceived) -> None:
        target = self.stdout if output.stream == "stdout" else self.stderr
        target.write(output.text, _as_it_is, ending="")
        target.flush()

    def _report(self, result: ExecutionResult, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(result_as_json(result), ensure_ascii=False, indent=2))
        elif result.ok and result.value is not None:
            self.stdout.write(result.text)
        elif result.error is not None and result.error.traceback:
            self.stderr.write(result.error.traceback, _as_it_is)


def _code(code: str | None, file: Path | None) -> str:
    if (code is None) == (file is None):
        raise usage_error("give the code as one of CODE, -f FILE, or - for stdin")
    try:
        if file is not None:
            text = file.read_text(encoding="utf-8")
        elif code == "-":
            text = sys.stdin.read()
        else:
            text = str(code)
        text.encode()
    except OSError as error:
        raise usage_error(f"{str(file)!r} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise usage_error(f"the code is not text in UTF-8: {error}") from error
    return text


def _input(pair: str) -> tuple[str, Any]:
    name, text = split(pair, "--input", "NAME=JSON")
    try:
        return name, json.loads(text)
    except (ValueError, RecursionError) as error:
        raise usage_error(
            f"--input {pair!r}: {text!r} is not JSON ({error}); "
            f"""a text needs its quotes, as in '{name}="text"'"""
        ) from error


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def _why(result: ExecutionResult) -> str:
    error = result.error
    if error is None:
        return result.status
    line = "" if error.line is None else f" (line {error.line})"
    told = f"{error.type}: {error.message}{line}"
    return told if result.status == "failed" else f"{result.status}: {told}"


def _as_it_is(text: str) -> str:
    return text
