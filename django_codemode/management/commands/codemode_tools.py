"""``manage.py codemode_tools``: what executed code may call, for people, programs and models."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from textwrap import indent
from typing import Any

from django.core.checks import CheckMessage
from django.core.management.base import BaseCommand, CommandError

from codemode.catalogue import catalogue_of, render_records, render_stubs
from codemode.errors import ConfigurationError
from codemode.tools import Tool
from codemode.tools.names import hint_for_name, names_meant
from django_codemode.management.options import (
    HelpFormatter,
    add_context_options,
    context_of,
    usage_error,
)
from django_codemode.payload import tool_as_json
from django_codemode.shared import shared
from django_codemode.tool_checks import FIRST_TOOL, broken_tools, gaps, where_tools_go

__all__ = ["Command", "GapsFoundError"]

_EPILOG = """\
examples:
  manage.py codemode_tools                     list all tools
  manage.py codemode_tools refund 'orders.*'   show these whole: types, origin, permission
  manage.py codemode_tools --user alice        list what this user may call
  manage.py codemode_tools --catalogue --max-tokens 1500    print what a model reads of them
  manage.py codemode_tools --stubs > tools.pyi    write them as Python, for a type checker
  manage.py codemode_tools --check             look for missing types, texts and permissions
  manage.py codemode_tools --json              give names, JSON Schemas, permissions

Tools are the objects that @tool decorates in the codemode_tools modules of installed apps,
and what the project registers itself.

exit status:
  0    done
  1    --check has found something
  2    the command was used wrongly: there is no such tool or user
"""


class GapsFoundError(CommandError):
    """Error for problems that --check has found."""


class Command(BaseCommand):
    """Command that lists the tools, shows them in full, or looks for gaps."""

    help = "List the tools that executed code may call."
    # The command is for diagnosing the problems at which the checks would stop.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.formatter_class = HelpFormatter
        parser.epilog = _EPILOG
        parser.add_argument(
            "tools",
            nargs="*",
            metavar="TOOL",
            help="show these tools whole; 'orders.*' means all whose names begin so",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument(
            "--stubs", action="store_true", help="print a Python stub (.pyi) of the tools"
        )
        form.add_argument(
            "--check",
            action="store_true",
            help="report broken tools, and missing types, descriptions and permissions",
        )
        form.add_argument(
            "--catalogue",
            action="store_true",
            help="print the tools as a model reads them; stderr has the tier and the tokens",
        )
        form.add_argument("--json", action="store_true", help="print a JSON array of the tools")
        parser.add_argument(
            "--max-tokens",
            type=int,
            metavar="N",
            help="with --catalogue: the budget, into which the richest tier that fits is put",
        )
        parser.add_argument(
            "--no-notes",
            action="store_true",
            help="with --catalogue: leave out the notes on arguments",
        )
        add_context_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was asked for; raise CommandError with the exit status."""
        names: list[str] = options["tools"]
        for option, given in (
            ("--max-tokens", options["max_tokens"] is not None),
            ("--no-notes", options["no_notes"]),
        ):
            if given and not options["catalogue"]:
                raise usage_error(f"{option} is for --catalogue; add that, or drop {option}")
        context = context_of(options["context"], options["user"])
        registered = shared.registry.tools
        for name in names:
            if not names_meant(name, registered):
                raise usage_error(f"{name!r} is not a tool{hint_for_name(name, registered)}")
        visible = shared.registry.visible(shared.registry.select(names or None), context)
        tools = [visible[name] for name in sorted(visible)]
        if options["check"]:
            self._check(tools, broken=[] if names else broken_tools())
        elif options["catalogue"]:
            self._catalogue(visible, options["max_tokens"], notes=not options["no_notes"])
        elif options["json"]:
            self.stdout.write(json.dumps(list(map(_as_json, tools)), ensure_ascii=False, indent=2))
        elif options["stubs"]:
            self.stdout.write(render_stubs(tools), ending="")
        else:
            self._show(tools, whole=bool(names))
            if not registered:
                self.stderr.write(
                    f"No tool is registered. {where_tools_go()} A first tool to paste:\n\n"
                )
                self.stderr.write(indent(FIRST_TOOL, "    "), ending="")

    def _catalogue(self, tools: Mapping[str, Tool], max_tokens: int | None, *, notes: bool) -> None:
        try:
            catalogue = catalogue_of(tools, max_tokens=max_tokens, notes=notes)
        except ConfigurationError as error:
            raise usage_error(str(error).replace("max_tokens=", "--max-tokens ")) from error
        if catalogue.text:
            self.stdout.write(catalogue.text)
        about = "" if catalogue.counted else "about "
        self.stderr.write(
            f"tier {catalogue.tier}: {_number(len(tools))}, {about}{catalogue.tokens:,} tokens"
        )

    def _show(self, tools: Iterable[Tool], *, whole: bool) -> None:
        for number, tool in enumerate(tools):
            if whole and number:
                self.stdout.write("")
            self.stdout.write(f"{'await ' * tool.asynchronous}{tool.signature}")
            if tool.description:
                self.stdout.write(f"    {tool.description}")
            if needed := _permissions(tool):
                self.stdout.write(f"    needs {', '.join(needed)}")
            if whole:
                self._show_rest(tool)

    def _show_rest(self, tool: Tool) -> None:
        self.stdout.write(f"    is {tool.origin}, and runs {_where(tool)}")
        if tool.effects:
            self.stdout.write(f"    effects: {tool.effects}")
        if tool.tags:
            self.stdout.write(f"    tags: {', '.join(tool.tags)}")
        for one in tool.arguments.parameters.values():
            if one.doc:
                self.stdout.write(f"    {one.name}: {one.doc}")
        for record in render_records([tool]):
            self.stdout.write("\n" + indent(record.rstrip(), "    "))

    def _check(self, tools: list[Tool], *, broken: list[CheckMessage]) -> None:
        found = [*broken, *(gap for tool in tools for gap in gaps(tool))]
        for one in found:
            self.stdout.write(f"{one.id}: {one.msg}\n    {one.hint}")
        if found:
            raise GapsFoundError(f"{len(found)} found in {_number(len(tools))}", returncode=1)
        self.stdout.write(f"{_number(len(tools))} checked, no problems.")


def _as_json(tool: Tool) -> dict[str, Any]:
    return {**tool_as_json(tool), "permissions": _permissions(tool), "origin": tool.origin}


def _permissions(tool: Tool) -> list[str]:
    if tool.permission is None:
        return []
    if isinstance(tool.permission, str):
        return [tool.permission]
    if callable(tool.permission):
        name = getattr(tool.permission, "__qualname__", type(tool.permission).__qualname__)
        return [f"what {name}() says"]
    return list(tool.permission)


def _where(tool: Tool) -> str:
    if tool.asynchronous:
        return "as a task"
    return "in the caller's thread" if tool.thread_sensitive else "in a thread of the pool"


def _number(tools: int) -> str:
    return "1 tool" if tools == 1 else f"{tools} tools"
