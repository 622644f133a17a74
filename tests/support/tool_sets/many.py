"""Two thousand tools of 48 services and of a shop's own apps, always the same.

The services' tools are in namespaces of two parts (``github.issue.get``), those
of the apps in namespaces of one part (``orders.get``) or in none (``fuel_log``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from codemode.core import ComponentRegistry
from tests.support.tool_sets.many_by_hand import APPS
from tests.support.tool_sets.many_services import SERVICES

__all__ = ["COUNT", "functions", "namespace_of", "register_many"]

COUNT = 2_000

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("amount", "price", "value", "weight", "budget", "fee"), Decimal),
    **dict.fromkeys(("start", "end", "date", "due", "expires", "deadline", "checkin"), date),
    **dict.fromkeys(("time", "checkout"), datetime),
    **dict.fromkeys(("quantity", "size", "seats", "percent", "hours", "days", "months"), int),
    **dict.fromkeys(("labels", "members", "guests", "attendees", "items", "lines"), list[str]),
}
_RECORD = dict[str, object]
_NAMES: dict[str, object] = {
    "date": date,
    "datetime": datetime,
    "Decimal": Decimal,
    "Record": _RECORD,
}
_CHANGES = ("create", "update", "delete")

type Function = Callable[..., Any]


def functions(count: int = COUNT) -> Iterator[tuple[str, Function]]:
    """Yield the names and functions of the first ``count`` tools."""
    number = 0
    for number, one in enumerate(_all(), 1):
        yield one
        if number == count:
            return
    raise ValueError(f"there are {number} tools; {count} were wanted")


def register_many(registry: ComponentRegistry, count: int = COUNT) -> None:
    """Add the first ``count`` tools to a registry."""
    for name, function in functions(count):
        registry.register_tool(name, function)


def namespace_of(name: str) -> str:
    """Return the namespace of a tool, or the app that defines it where its name has none."""
    prefix, _, _ = name.rpartition(".")
    return prefix or _APP_OF[name]


def _all() -> Iterator[tuple[str, Function]]:
    for app, text in APPS.items():
        for signature, doc in re.findall(r"^(\S.*)\n +(.+)$", text, re.MULTILINE):
            name, _, rest = signature.partition("(")
            yield name, _by_hand(app, name, f"({rest}", doc)
    for number, (service, text) in enumerate(SERVICES.items()):
        for line in text.strip().splitlines():
            yield from _of_object(service, line, asynchronous=number % 2 == 0)


def _by_hand(app: str, name: str, signature: str, doc: str) -> Function:
    scope = dict(_NAMES)
    last = name.rpartition(".")[2]
    exec(f"def {last}{signature}: return {name!r}", scope)
    function: Any = scope[last]
    function.__module__, function.__doc__ = f"{app}.codemode_tools", doc
    return function  # type: ignore[no-any-return]  # made by exec


def _of_object(service: str, line: str, *, asynchronous: bool) -> Iterator[tuple[str, Function]]:
    object_name, rest = line.split(": ", 1)
    noun, fields, verbs = (part.strip() for part in rest.split(";"))
    changes = (*_CHANGES, "search") if asynchronous else _CHANGES
    wanted = ["get", "list"]
    for verb in verbs.split():
        wanted += changes if verb == "+" else (verb,)
    for verb in dict.fromkeys(wanted):
        yield (
            f"{service}.{object_name}.{verb}",
            _function(service, object_name, verb, noun, fields.split(), asynchronous=asynchronous),
        )


def _function(
    service: str, object_name: str, verb: str, noun: str, fields: list[str], *, asynchronous: bool
) -> Function:
    key = inspect.Parameter.POSITIONAL_OR_KEYWORD
    identity = inspect.Parameter(f"{object_name}_id", key, annotation=str)
    given = [inspect.Parameter(one, key, annotation=_TYPES.get(one, str)) for one in fields]
    optional = [one.replace(default=None, annotation=one.annotation | None) for one in given]
    article = "an" if noun[0] in "aeiou" else "a"
    returns: Any = _RECORD
    match verb:
        case "get":
            parameters, doc = [identity], f"Return one {noun}."
        case "list":
            limit = inspect.Parameter("limit", key, annotation=int, default=50)
            parameters, doc = [*optional[:2], limit], f"List every {noun}, the newest first."
            returns = list[_RECORD]
        case "search":
            text = inspect.Parameter("query", key, annotation=str)
            parameters, doc = [text, *optional[1:2]], f"Find {article} {noun} by words."
            returns = list[_RECORD]
        case "create":
            parameters, doc = given, f"Create {article} {noun}."
        case "update":
            parameters, doc = [identity, *optional], f"Change {article} {noun}."
        case "delete":
            parameters, doc, returns = [identity], f"Delete {article} {noun}.", type(None)
        case _:
            words = verb.replace("_", " ").capitalize()
            parameters, doc = [identity, *optional[-1:]], f"{words} {article} {noun}."

    def call(**arguments: Any) -> dict[str, Any]:
        return {"verb": verb, **arguments}

    async def call_async(**arguments: Any) -> dict[str, Any]:
        return call(**arguments)

    function: Any = call_async if asynchronous else call
    function.__name__ = verb
    function.__qualname__ = f"{object_name}.{verb}"
    function.__module__ = f"{service}.codemode_tools"
    function.__doc__ = doc
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)
    function.__annotations__ = {one.name: one.annotation for one in parameters} | {
        "return": returns
    }
    return function  # type: ignore[no-any-return]  # its signature is set above


_APP_OF = {
    name: app for app, text in APPS.items() for name in re.findall(r"^(\w+)\(", text, re.MULTILINE)
}
