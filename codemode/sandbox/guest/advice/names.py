"""Advice on names: of tools, of modules, and of what other environments offer."""

from __future__ import annotations

import ast
import re
import sys
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from codemode.sandbox.guest.advice.near import cut_name, listed, similar_names
from codemode.sandbox.guest.advice.scene import MISSING, Scene, with_changed
from codemode.sandbox.guest.advice.source_text import text_of
from codemode.sandbox.guest.advice.surroundings import NO_NETWORK, NO_PROCESSES
from codemode.sandbox.guest.advice.texts import said
from codemode.sandbox.guest.tools.descriptions import suggestions
from codemode.sandbox.guest.tools.toolbox import Tools, group_of
from codemode.sandbox.imports import INSTALLED

__all__ = ["attribute", "called", "hidden", "module", "name", "syntax", "unbound", "undefined"]

_UNBOUND = re.compile(r"cannot access local variable '(\w{1,200})'")
_END = "end with the expression whose value is wanted, or write result = ..."
_CONSTANTS: Final = MappingProxyType(
    {
        "true": "True",
        "false": "False",
        "null": "None",
        "none": "None",
        "nil": "None",
        "undefined": "None",
        "NaN": "float('nan')",
        "nan": "float('nan')",
        "Infinity": "float('inf')",
    }
)
_ELSEWHERE: Final = MappingProxyType(
    {
        "result": f"result is a variable that the code sets, not a function: {_END}",
        "display": f"display() is of notebooks: {_END}; print(x) is for notes",
        "final_answer": f"there is no final_answer() here: {_END}",
        "get_ipython": "this is not a notebook: write plain Python",
        "console": "this is Python: write print(...)",
        "require": "this is Python: write import",
        "fetch": NO_NETWORK,
        "raw_input": "there is nobody to ask here: data comes as inputs or from tools",
        "unicode": "write str",
        "xrange": "write range",
        "reduce": "write: from functools import reduce",
    }
)
_FROM: Final = MappingProxyType(
    {
        one: home
        for home, those in (
            ("collections", "Counter OrderedDict defaultdict deque namedtuple"),
            ("concurrent.futures", "ThreadPoolExecutor as_completed"),
            ("dataclasses", "asdict dataclass field"),
            ("datetime", "date timedelta timezone"),
            ("decimal", "ROUND_HALF_UP Decimal"),
            ("enum", "Enum"),
            ("fractions", "Fraction"),
            ("functools", "lru_cache partial"),
            ("io", "BytesIO StringIO"),
            ("itertools", "accumulate chain groupby islice pairwise"),
            ("math", "ceil floor sqrt"),
            ("operator", "attrgetter itemgetter"),
            ("pathlib", "Path"),
            ("pprint", "pprint"),
            ("statistics", "mean median stdev"),
            ("typing", "Any Literal Optional TypedDict"),
            ("uuid", "UUID uuid4"),
            ("zoneinfo", "ZoneInfo"),
        )
        for one in those.split()
    }
)
_ALIASES: Final = MappingProxyType(
    {"np": "numpy", "pd": "pandas", "pl": "polars", "plt": "matplotlib.pyplot", "dt": "datetime"}
)
_CALLERS = frozenset("call call_tool execute_tool invoke invoke_tool run_tool use_tool".split())
_OF_NETWORK = frozenset(
    "aiohttp boto3 google grpc httplib2 httpx httpx2 openai playwright pycurl requests "
    "selenium urllib2 urllib3 websocket websockets".split()
)
_OF_CLASS_DATETIME = frozenset(dir(datetime))
_OF_DATETIME = frozenset("UTC date datetime time timedelta timezone tzinfo".split())
_OF_PROCESSES = frozenset("fabric invoke paramiko pexpect plumbum sh".split())
_JAVASCRIPT: Final = (
    (re.compile(r"^(?:const|let|var) +\w+ *="), "write the name without const, let or var"),
    (re.compile(r"^(?:async )?function\b"), "write def"),
    (re.compile(r"=>"), "write lambda x: ..., or def"),
    (re.compile(r"&&"), "write and"),
    (re.compile(r"\|\|"), "write or"),
    (re.compile(r"===|!=="), "write == or !="),
    (re.compile(r"^//"), "comments begin with #"),
    (re.compile(r"(?:\+\+|--);?$"), "write += 1 or -= 1"),
)
_LINE_CHARACTERS = 1_000
_TOOLS_THEMSELVES = frozenset({"codemode", "codemode_tools", "functions", "tool", "tools"})


def name(error: NameError, scene: Scene, tools: Tools) -> str:
    """Return advice on a name that is not defined."""
    wanted = error.name
    return undefined(wanted, tools, scene.statement) if type(wanted) is str else ""


def undefined(wanted: str, tools: Tools, statement: ast.AST | None = None) -> str:
    """Return advice on a name that ``statement`` reads and nothing defines, "" if none is certain.

    Called before a run as well, when there is no exception yet.
    """
    if wanted in _CONSTANTS:
        return f"this is Python: write {_CONSTANTS[wanted]}"
    # Names of the same words first; names that are merely spelled alike come last.
    near = tools.near(wanted, cutoff=1.01)
    if near:
        return f"Did you mean this tool: {suggestions(near)}"
    if wanted in _ELSEWHERE:
        return _ELSEWHERE[wanted]
    if wanted in _CALLERS:
        return f"there is no {wanted}(): {tools.how_to_call()}"
    if wanted == "datetime":
        return _datetime_import(statement)
    if wanted in _FROM and (wanted[0].isupper() or _is_used(wanted, statement)):
        return f"write: from {_FROM[wanted]} import {wanted}"
    if wanted in _ALIASES:
        home = _ALIASES[wanted]
        return f"write: import {home} as {wanted}" if _is_there(home) else _not_installed(home)
    if _is_there(wanted) and _is_used(wanted, statement):
        return f"write: import {wanted}"
    near = tools.near(wanted, cutoff=0.75)
    return f"Did you mean this tool: {suggestions(near)}" if near else ""


def syntax(error: SyntaxError) -> str:
    """Return advice on a line that is of a notebook, of a shell or of JavaScript."""
    line, text = error.text, error.msg
    if type(text) is str and text.endswith("outside async function"):
        return "write async def for the function around it, and await its calls"
    if type(line) is not str or text != "invalid syntax":
        return ""
    line = line[:_LINE_CHARACTERS].strip()
    if line.startswith(("```", "~~~")):
        return "send Python alone, without fences and text around it"
    if line.startswith(("%", "!")):
        return "this is not a notebook: write plain Python, without % and ! commands"
    for pattern, advice in _JAVASCRIPT:
        if pattern.search(line):
            return f"this is Python: {advice}"
    return ""


def unbound(error: UnboundLocalError, scene: Scene, tools: Tools) -> str:
    """Return advice on a local variable that hides a tool of the same name."""
    match = _UNBOUND.match(said(error))
    if match is None or tools.member(match[1]) is None:
        return ""
    wanted = match[1]
    where = cut_name(scene.frame.f_code.co_name)
    return (
        f"the variable {wanted} of {where} hides the tool {wanted}: name the variable differently"
    )


def hidden(error: AttributeError, scene: Scene, tools: Tools) -> str:
    """Return advice on a variable that hides the tools whose name it has."""
    wanted, node = error.name, scene.node
    if type(wanted) is not str or not isinstance(node, ast.Attribute):
        return ""
    if tools.member(f"{text_of(node.value, 60)}.{wanted}") is None:
        return ""
    return _hidden_tool(node.value, scene.value_of(node.value), tools)


def attribute(error: AttributeError, scene: Scene, tools: Tools) -> str:
    """Return advice on an attribute of the module or the class ``datetime``."""
    wanted, node = error.name, scene.node
    if type(wanted) is not str or not isinstance(node, ast.Attribute):
        return ""
    if wanted in _OF_CLASS_DATETIME and said(error).startswith("module 'datetime'"):
        return (
            f"datetime is the module here: write {text_of(node.value)}.datetime.{wanted}, "
            "or from datetime import datetime"
        )
    if wanted in _OF_DATETIME and said(error).startswith("type object 'datetime.datetime'"):
        if wanted == "datetime":
            return "datetime is the class already: leave out one of the two"
        return f"datetime is the class here: write: from datetime import {wanted}"
    return ""


def called(error: TypeError, scene: Scene, tools: Tools) -> str:
    """Return advice on the call, loop or index of something that is not meant for it."""
    text, node = said(error), scene.node
    if text.endswith(("is not callable", "is not iterable", "is not subscriptable")):
        advice = _of_tools(node, scene, tools)
        if advice:
            return advice
    if not text.endswith(("is not callable", "is not subscriptable")):
        return ""
    part = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
    if part is None:
        return ""
    if text.startswith("'function' object is not subscriptable"):
        return _index_of_function(node, part, scene)
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(part, ast.Name) and part.id == "result":
        return f"result is a variable that the code sets, not a function: {_END}"
    advice = _hidden_tool(part, scene.value_of(part), tools)
    if advice:
        return advice
    if text.startswith("'dict' object") and len(node.args) == 1:
        item = ast.Subscript(part, node.args[0], ast.Load())
        changed = with_changed(node, node, item)
        return f"records are dicts: write {changed}" if changed else ""
    return ""


def module(error: ModuleNotFoundError, scene: Scene, tools: Tools) -> str:
    """Return advice on a module that cannot be imported."""
    wanted = error.name
    if type(wanted) is not str or not said(error).startswith("No module named"):
        return ""
    top = wanted.partition(".")[0]
    if tools.member(top) is not None:
        own = [spec for spec in (tools.spec_of(top), *tools.specs_in(top)) if spec is not None]
        call = f": call {suggestions(own[:1])}" if own else ""
        return f"{cut_name(top)} is here already, without import{call}"
    if top in _TOOLS_THEMSELVES:
        return tools.how_to_call()
    if top in _OF_NETWORK and top not in INSTALLED:
        return NO_NETWORK
    if top in _OF_PROCESSES:
        return NO_PROCESSES
    if top == "nest_asyncio":
        return "it is not needed: write await outside functions"
    if wanted != top and _is_there(top):
        return f"{cut_name(top)} is installed, but has no module {cut_name(wanted)}"
    return _not_installed(top)


def _not_installed(top: str) -> str:
    near = similar_names(top, [*sys.stdlib_module_names, *INSTALLED], cutoff=0.75)
    near = [one for one in near if one != top and not one.startswith("_")][:2]
    head = f"Did you mean {' or '.join(near)}? " if near else ""
    if not INSTALLED:
        return f"{head}{cut_name(top)} is not installed: there is Python's standard library alone"
    return (
        f"{head}{cut_name(top)} is not installed: there are Python's standard library and "
        f"{listed(INSTALLED, 20)}"
    )


def _is_there(name: str) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top in INSTALLED


def _is_used(name: str, statement: ast.AST | None) -> bool:
    """Return whether a name is called or has its attributes read, like a module or a function.

    Otherwise a variable may be missing: ``email`` and ``date`` are names of both.
    """
    if statement is None:
        return True
    users = [one for one in ast.walk(statement) if isinstance(one, ast.Attribute | ast.Call)]
    parts = [one.func if isinstance(one, ast.Call) else one.value for one in users]
    return any(isinstance(part, ast.Name) and part.id == name for part in parts)


def _datetime_import(node: ast.AST | None) -> str:
    for one in ast.walk(node) if node is not None else ():
        if (
            isinstance(one, ast.Attribute)
            and isinstance(one.value, ast.Name)
            and one.value.id == "datetime"
            and one.attr not in _OF_DATETIME
        ):
            return "write: from datetime import datetime"
    return "write: import datetime"


def _hidden_tool(part: ast.expr, value: Any, tools: Tools) -> str:
    """Return advice where a variable hides the tool or the namespace of its name."""
    if not isinstance(part, ast.Name) or value is MISSING:
        return ""
    tool = tools.member(part.id)
    if tool is None or tool is value or group_of(value):
        return ""
    what = f"tools {part.id}.*" if group_of(tool) else f"tool {part.id}"
    return f"the variable {part.id} hides the {what}: name the variable differently"


def _of_tools(node: ast.AST | None, scene: Scene, tools: Tools) -> str:
    """Return advice where a namespace or ``tools`` is called, read in a loop or by an index."""
    if isinstance(node, ast.Call):
        part: ast.AST | None = node.func
    else:
        part = node.value if isinstance(node, ast.Subscript) else node
    for one in (part, *(node.args if isinstance(node, ast.Call) else ())):
        value: object = scene.value_of(one)
        if value is tools:
            return tools.how_to_call()
        if group := group_of(value):
            call = suggestions(tools.specs_in(group)[:1])
            return f"{group} is a group of tools: call one, such as {call}"
    return ""


def _index_of_function(node: ast.AST | None, part: ast.expr, scene: Scene) -> str:
    if not isinstance(node, ast.Subscript) or scene.value_of(part) is MISSING:
        return ""
    index = node.slice
    call = ast.Call(part, index.elts if isinstance(index, ast.Tuple) else [index], [])
    changed = with_changed(node, node, call)
    return f"{text_of(part, 60)} is a function: write {changed}" if changed else ""
