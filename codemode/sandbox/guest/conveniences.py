"""Builtins that ``python -S`` lacks: help, exit and quit."""

from __future__ import annotations

import inspect
import sys
from typing import Any, NoReturn

from codemode.sandbox.guest.tools.toolbox import Tool, Tools

__all__ = ["Help", "leave"]


class Help:
    """The function ``help(x)``, which prints the description of a tool or any other object."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def __call__(self, thing: Any = None) -> None:
        tool = self._tool(thing)
        if thing is None:
            text = f"help(x) explains x. The tools of this run:\n{self._tools!r}"
        elif tool is not None:
            text = str(tool)
        else:
            # Imported here: pydoc is large and rarely needed.
            import pydoc

            pydoc.Helper(output=sys.stdout)(thing)
            return
        sys.stdout.write(text + "\n")

    def _tool(self, thing: Any) -> Tool | None:
        if isinstance(thing, Tool):
            return thing
        if inspect.isfunction(thing) and thing.__module__ == "tools":
            thing = thing.__qualname__
        return self._tools[thing] if isinstance(thing, str) and thing in self._tools else None

    def __repr__(self) -> str:
        return "help(x) explains x; help() lists the tools"


def leave(code: Any = None) -> NoReturn:
    """Raise SystemExit, as ``exit`` and ``quit`` do."""
    raise SystemExit(code)
