"""Builtins that ``python -S`` lacks: help, exit and quit."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any, NoReturn

from codemode.sandbox.guest.tools.toolbox import Tool, Tools, group_of

__all__ = ["Help", "leave"]


class Help:
    """The function ``help(x)``, which prints the description of a tool or any other object."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def __call__(self, thing: Any = None) -> None:
        text = self._text(thing)
        if text is not None:
            sys.stdout.write(text + "\n")
            return
        # Imported here: pydoc is large and rarely needed.
        import pydoc

        pydoc.Helper(output=sys.stdout)(thing)

    def _text(self, thing: Any) -> str | None:
        """Return the description of a tool, a namespace or ``tools``; None for other things."""
        kind = type(thing)
        if thing is None or thing is self._tools:
            return self._tools.explain()
        if kind is Tool:
            return str(thing)
        if group := group_of(thing):
            return self._tools.explain(group)
        if kind is FunctionType and thing.__module__ == "tools":
            return self._tools.explain(thing.__qualname__)
        if kind is not str:
            return None
        name = thing.strip()
        if name == "tools":
            return self._tools.explain()
        text = self._tools.explain(name)
        if text is None and name.replace(".", "").isidentifier() and not _known_to_python(name):
            return self._tools.unknown(name)
        return text

    def __repr__(self) -> str:
        return "help(x) explains x; help() lists the tools"


def leave(code: Any = None) -> NoReturn:
    """Raise SystemExit, as ``exit`` and ``quit`` do."""
    raise SystemExit(code)


def _known_to_python(name: str) -> bool:
    """Return whether pydoc explains this name: a builtin, a keyword, a topic or a module."""
    import pydoc

    first = name.partition(".")[0]
    if name in pydoc.Helper.keywords or name in pydoc.Helper.topics:
        return True
    if first in sys.stdlib_module_names or first in sys.modules:
        return True
    return pydoc.locate(name) is not None
