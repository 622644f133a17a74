"""The place where an exception was raised, read without running any of the code.

The code may have replaced any method and class that it made. So values are
taken only from exact dicts, lists and tuples of Python's own, and types are
compared by identity; no method of a value of the code is called.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any, Final

from codemode.sandbox.guest.advice.texts import is_exactly
from codemode.sandbox.guest.tools.calling import ToolSpec
from codemode.sandbox.guest.tools.toolbox import Tools, group_of

__all__ = ["MISSING", "Scene", "entry", "name_of_type", "with_changed", "with_replaced"]

MISSING: Final = object()
"""What stands for a value that cannot be read safely."""

_SEGMENT_CHARACTERS = 2_000
_SHOWN_CHARACTERS = 120
_LINES_BEFORE = 50
_NODES = 500
_LOOP = re.compile(r"\s*(?:async )?for .*:\s*$")
_FRAMES = 20_000
_ENTRIES = 20_000
_CODE = "<code"

# Captured at import: the code may replace them.
_parse = ast.parse
_traceback_of = BaseException.__dict__["__traceback__"].__get__
_lines_of = linecache.cache.get
_type_name = type.__dict__["__name__"].__get__


class Scene:
    """The innermost line of the code in a traceback, with its names and its expression.

    ``direct`` is true where the code's own line raised the exception, and false
    where something that it called did: ``library`` and ``function`` name that.
    """

    def __init__(self, frame: FrameType, at: int, inner: CodeType | None, tools: Tools) -> None:
        self.frame = frame
        self._tools = tools
        self.direct = inner is None
        self.library = "" if inner is None else inner.co_filename
        self.function = "" if inner is None else inner.co_name
        self._at = at
        self._lines = _lines(frame.f_code.co_filename)
        self._read: dict[str, ast.AST | None] = {}

    @property
    def node(self) -> ast.AST | None:
        """The syntax tree of the expression or statement that failed, if it is known."""
        if "node" not in self._read:
            tree = _tree(self._segment())
            # Python 3.12 names the whole loop where the start of its iteration fails.
            self._read["node"] = tree.iter if isinstance(tree, ast.For | ast.AsyncFor) else tree
        return self._read["node"]

    @property
    def statement(self) -> ast.AST | None:
        """The syntax tree of the line that failed, where it is a statement by itself."""
        if "statement" not in self._read:
            line = self._line(self._position()[0]).strip()
            self._read["statement"] = _tree(f"{line} pass" if line.endswith(":") else line)
        return self._read["statement"]

    @property
    def awaits(self) -> bool:
        """Whether ``await`` may be written at this place."""
        code = self.frame.f_code
        return code.co_name == "<module>" or bool(code.co_flags & inspect.CO_COROUTINE)

    def value_of(self, node: ast.AST | None, depth: int = 8) -> Any:
        """Return the value that an expression of names, keys and indexes has, or MISSING."""
        if depth == 0 or node is None:
            return MISSING
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(self.value_of(node.value, depth - 1), node.attr)
        if isinstance(node, ast.Subscript):
            base = self.value_of(node.value, depth - 1)
            return self._item(base, self.value_of(node.slice, depth - 1))
        return MISSING

    def tool_of(self, function: object) -> ToolSpec | None:
        """Return the tool that a function calls, or None for any other value."""
        if type(function) is not FunctionType or function.__module__ != "tools":
            return None
        name = function.__qualname__
        if type(name) is not str or self._tools.member(name) is not function:
            return None
        return self._tools.spec_of(name)

    def is_async(self, function: object) -> bool:
        """Return whether a value is a function whose call must be awaited."""
        tool = self.tool_of(function)
        if tool is not None:
            return tool.asynchronous
        flags = function.__code__.co_flags if type(function) is FunctionType else 0
        return bool(flags & inspect.CO_COROUTINE)

    def _attribute(self, base: Any, name: str) -> Any:
        group = group_of(base)
        if group or base is self._tools:
            found = self._tools.member(f"{group}.{name}" if group else name)
            return MISSING if found is None else found
        if type(base) is ModuleType:
            return entry(object.__getattribute__(base, "__dict__"), name)
        if name == "run" and self.tool_of(base) is not None:
            return base  # of ``tools["orders.get"].run``
        return MISSING

    def _item(self, base: Any, key: Any) -> Any:
        kind = type(base)
        if kind is dict:
            return entry(base, key)
        if kind is list or kind is tuple:
            if type(key) is int and -len(base) <= key < len(base):
                return base[key]
        elif type(key) is str and (base is self._tools or group_of(base)):
            return self._attribute(base, key)
        return MISSING

    def _named(self, name: str) -> Any:
        frame = self.frame
        code = frame.f_code
        if code.co_flags & inspect.CO_OPTIMIZED:
            if name in code.co_varnames or name in code.co_cellvars or name in code.co_freevars:
                values = frame.f_locals
                return values.get(name, MISSING)
        else:
            value = entry(frame.f_locals, name)
            if value is not MISSING:
                return value
        value = entry(frame.f_globals, name)
        return entry(frame.f_builtins, name) if value is MISSING else value

    def looped(self, name: str) -> tuple[Any, ast.AST | None]:
        """Return what the nearest loop takes ``name`` from, and the expression of that.

        The loop is on the failing line or before it. The variables of a
        comprehension are in no frame's names, so their values are found here.
        """
        line = self._position()[0]
        trees: Iterator[ast.AST | None] = itertools.chain(
            [self.statement],
            (
                _tree(f"{text} pass")
                for number in range(line - 1, max(line - _LINES_BEFORE, 0), -1)
                if (text := self._line(number).strip()).startswith(("for ", "async for "))
                and text.endswith(":")
            ),
        )
        for tree in trees:
            for node in islice(ast.walk(tree or ast.Pass()), _NODES):
                if (
                    isinstance(node, ast.comprehension | ast.For)
                    and isinstance(node.target, ast.Name)
                    and node.target.id == name
                ):
                    return self.value_of(node.iter), node.iter
        return MISSING, None

    def _position(self) -> tuple[int, int, int, int]:
        positions = self.frame.f_code.co_positions()
        found = next(islice(positions, self._at // 2, None), (None,) * 4)
        line, last, start, end = found
        if line is None or last is None or start is None or end is None:
            return 0, 0, 0, 0
        return line, last, start, end

    def _line(self, number: int) -> str:
        if not 0 < number <= len(self._lines):
            return ""
        return self._lines[number - 1][:_SEGMENT_CHARACTERS]

    def _segment(self) -> str:
        """Return the source text of the instruction that failed; "" if unknown or long."""
        line, last, start, end = self._position()
        if not 0 < line <= last <= len(self._lines):
            return ""
        if last > line and _LOOP.match(self._lines[line - 1]):
            return f"{self._line(line).strip()} pass"
        lines = self._lines[line - 1 : last]
        if sum(map(len, lines[:50])) > _SEGMENT_CHARACTERS or len(lines) > 50:
            return ""
        # The columns count bytes of UTF-8.
        encoded = [one.encode() for one in lines]
        encoded[-1] = encoded[-1][:end]
        encoded[0] = encoded[0][start:]
        return b"".join(encoded).decode("utf-8", "replace")

    @classmethod
    def of(cls, error: BaseException, tools: Tools) -> Scene | None:
        """Return the place in the code from which an exception came, if there is one."""
        own: TracebackType | None = None
        last: TracebackType | None = None
        step: TracebackType | None = _traceback_of(error)
        for _ in range(_FRAMES):
            if step is None:
                break
            if step.tb_frame.f_code.co_filename.startswith(_CODE):
                own = step
            last, step = step, step.tb_next
        if own is None or last is None:
            return None
        inner = None if last is own else last.tb_frame.f_code
        return cls(own.tb_frame, own.tb_lasti, inner, tools)


def name_of_type(value: object) -> str:
    """Return the name of a value's type; its metaclass has no say in it."""
    name = _type_name(type(value))
    return name if type(name) is str else "?"


def entry(mapping: Any, key: object) -> Any:
    """Return the value of a str or int in an exact dict, or MISSING.

    Keys are compared one by one: a lookup could call ``__eq__`` of a key of the code.
    """
    if type(mapping) is not dict or not is_exactly(key, str, int):
        return MISSING
    for one, value in islice(mapping.items(), _ENTRIES):
        if type(one) is type(key) and one == key:
            return value
    return MISSING


def with_changed(tree: ast.AST, old: ast.AST, new: ast.AST) -> str:
    """Return the source text of a tree in which one node is replaced, "" if it is long."""
    return with_replaced(tree, {id(old): new})


def with_replaced(tree: ast.AST, new: Mapping[int, ast.AST]) -> str:
    """Return the source text of a tree in which nodes are replaced, given by their ``id``."""
    text = ast.unparse(_Replaced(new).visit(tree))
    return text if len(text) <= _SHOWN_CHARACTERS and "\n" not in text else ""


class _Replaced(ast.NodeTransformer):
    def __init__(self, new: Mapping[int, ast.AST]) -> None:
        self._new = new

    def visit(self, node: ast.AST) -> Any:
        return self._new.get(id(node)) or super().visit(node)


def _lines(filename: str) -> list[str]:
    cached = _lines_of(filename)
    if type(cached) is tuple and len(cached) == 4 and type(cached[2]) is list:
        return cached[2]
    return []


def _tree(text: str) -> ast.AST | None:
    """Return the tree of one expression, else of one statement, else None."""
    if not text or len(text) > _SEGMENT_CHARACTERS:
        return None
    try:
        return _parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    try:
        body = _parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if len(body) != 1:
        return None
    return body[0].value if isinstance(body[0], ast.Expr) else body[0]
