"""``manage.py codemode_exec``: execute code with the project's tools, from a shell."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from codemode.core.context import use_context
from codemode.core.result import ExecutionResult
from codemode.errors import ConfigurationError, ExecutorClientError, ValueEncodingError
from django_codemode.management.artifacts import ArtifactFolder
from django_codemode.management.console import Console, cells, history, typed
from django_codemode.management.live import Live, fit, write
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
  manage.py codemode_exec -f chart.py --artifacts charts
  manage.py codemode_exec --session
  manage.py codemode_exec -v 2 'list_orders(status="open")'

The code's own stdout and stderr go to stdout and stderr as they come; its result is the
last thing on stdout, and nothing when it is None. On a terminal, what it reports by
progress() is a bar, and control characters that it prints are shown, not obeyed. -v 2 shows
each tool call on stderr. Without --user the code acts as the system, which may call every
tool.

--session is a prompt like Python's own: values are shown as Python writes them, Tab completes
the names of tools, lines are kept in ~/.codemode_history. A run that is stopped ends the
session, and the next one begins without variables. From a pipe, the first code that does not
complete ends it, with the exit status that it has by itself.

exit status:
  0    the code completed
  1    the code failed: it raised, or its result cannot travel
  2    the command was used wrongly, or a setting is wrong
  3    the executor cannot be reached, or refused
  4    the code was stopped: limit, timeout, cancelled, or its sandbox crashed
  130  Ctrl-C
"""


class CodeFailedError(CommandError):
    """Error for code that did not complete."""


class ExecutorFailedError(CommandError):
    """Error for a failure outside the code."""


class Command(BaseCommand):
    """Command that executes code with the project's tools."""

    help = "Execute Python in the sandbox, with the tools of this project."
    # A wrong setting has its own exit status. The project's other checks do not
    # decide whether code runs.
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
            "--profile",
            metavar="NAME",
            help="what the sandbox has loaded, such as data for numpy and pandas",
        )
        parser.add_argument(
            "--session",
            action="store_true",
            help="run several codes in one sandbox, whose variables stay: typed at a terminal, "
            "or read from stdin, where lines of # %%%% separate them; after CODE or FILE, if given",
        )
        parser.add_argument(
            "--artifacts",
            type=Path,
            metavar="FOLDER",
            help="write the files that the code gives to this folder, overwriting none",
        )
        parser.add_argument(
            "--json", action="store_true", help="print the whole outcome as one JSON object"
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a separate process, which closes its executor when it ends."""
        try:
            super().run_from_argv(argv)
        finally:
            shared.close()

    def handle(self, *args: Any, **options: Any) -> None:
        """Execute, and raise CommandError with the exit status unless the code completed."""
        if options["session"] and options["json"]:
            raise usage_error("--session shows each outcome by itself; leave out --json")
        code = _code(options["code"], options["file"], in_session=options["session"])
        folder = options["artifacts"]
        self._folder = None if folder is None else ArtifactFolder(folder)
        context = context_of(options["context"], options["user"])
        arguments = {
            "available_tools": _names(options["tools"]),
            "execution_timeout": options["timeout"],
            "profile": options["profile"],
        }
        inputs = dict(_input(one) for one in options["input"])
        live = Live(self.stdout, self.stderr, calls=options["verbosity"] > 1)
        try:
            with use_context(context):
                if options["session"]:
                    self._session(code, inputs, arguments, live)
                elif options["json"]:
                    self._finish(get_codemode().run(code or "", inputs=inputs, **arguments), True)
                else:
                    events = get_codemode().stream(code or "", inputs=inputs, **arguments)
                    self._finish(live.follow(events), False)
        except KeyboardInterrupt:
            raise CommandError("interrupted", returncode=EXIT_INTERRUPTED) from None
        except (ConfigurationError, ValueEncodingError) as error:
            raise CommandError(str(error), returncode=EXIT_USAGE) from error
        except ExecutorClientError as error:
            if error.result is not None:
                self._report(error.result, as_json=options["json"])
            raise ExecutorFailedError(str(error), returncode=EXIT_EXECUTOR) from error

    def _session(
        self, first: str | None, inputs: dict[str, Any], arguments: dict[str, Any], live: Live
    ) -> None:
        codemode = get_codemode()
        console = Console(lambda: codemode.session(**arguments), live, self._print)
        if not (sys.stdin.isatty() and self.stdout.isatty()):
            console.run_all(cells(first, sys.stdin), inputs, self._finish)
            return
        registry = codemode.registry
        tools = registry.visible(
            registry.select(arguments["available_tools"]), registry.get_context()
        )
        self._print(
            f"Python in a sandbox, with {len(tools)} tools: help() lists them. Variables stay. "
            "Ctrl-C stops a run, Ctrl-D ends."
        )
        with history(tools, self._print):
            console.interact(typed(first), inputs, self._show)

    def _finish(self, result: ExecutionResult, as_json: bool = False) -> None:
        self._report(result, as_json=as_json)
        if not result.ok:
            status = EXIT_FAILED if result.status == "failed" else EXIT_STOPPED
            raise CodeFailedError(fit(self.stderr, _why(result)), returncode=status)

    def _report(self, result: ExecutionResult, *, as_json: bool) -> None:
        if as_json:
            text = json.dumps(result_as_json(result), ensure_ascii=False, indent=2)
            write(self.stdout, f"{text}\n")
        elif result.ok and result.value is not None:
            write(self.stdout, f"{result.text}\n")
        elif result.error is not None and result.error.traceback:
            write(self.stderr, result.error.traceback.rstrip("\n") + "\n")
        if not as_json:
            self._hint(result)
        if self._folder is not None or not as_json:
            self._keep(result)

    def _show(self, result: ExecutionResult) -> None:
        """Show an outcome as Python's own prompt would."""
        self._hint(result)
        self._keep(result)
        if result.ok:
            if result.value is not None:
                write(self.stdout, f"{_value(result)}\n")
            return
        if result.error is not None and result.error.traceback:
            write(self.stderr, result.error.traceback.rstrip("\n") + "\n")
        else:
            write(self.stderr, f"{_why(result)}\n")

    def _hint(self, result: ExecutionResult) -> None:
        for hint in result.hints:
            write(self.stderr, f"hint: {hint}\n")

    def _keep(self, result: ExecutionResult) -> None:
        """Write the artifacts to their folder; without one, name them."""
        for artifact in result.artifacts:
            where = "" if self._folder is None else f": {self._folder.write(artifact)}"
            write(self.stderr, f"artifact: {artifact.summary}{where}\n")
        if result.artifacts and self._folder is None:
            write(self.stderr, "--artifacts FOLDER writes them to a folder\n")

    def _print(self, text: str) -> None:
        write(self.stderr, f"{text}\n")


def _code(code: str | None, file: Path | None, *, in_session: bool) -> str | None:
    if in_session and code == "-":
        raise usage_error("--session reads stdin anyway; leave out the -")
    if in_session and code is None and file is None:
        return None
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


def _value(result: ExecutionResult) -> str:
    try:
        return repr(result.value)
    except ValueError:  # an integer in it has more digits than Python writes
        return result.text


def _why(result: ExecutionResult) -> str:
    error = result.error
    if error is None:
        return result.status
    line = "" if error.line is None else f" (line {error.line})"
    # The traceback, which is above, ends with the whole message.
    message = error.message.partition("\n")[0] if error.traceback else error.message
    why = f"{error.type}: {message}{line}"
    return why if result.status == "failed" else f"{result.status}: {why}"
