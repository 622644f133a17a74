"""The place where an exception was raised, read without running any of the code.

The code may have replaced any method and class that it made. So values are
taken only from exact dicts, lists and tuples of Python's own, and types are
compared by identity; no method of a value of the code is called.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Mapping
from itertools import islice
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any, Final

from codemode.sandbox.guest.tools.toolbox import Namespace, Tools

__all__ = ["MISSING", "Scene", "entry", "name_of_type", "with_changed"]

MISSING: Final = object()
"""What stands for a value that cannot be read safely."""

_SEGMENT_CHARACTERS = 2_000
_SHOWN_CHARACTERS = 120
_FRAMES = 20_000
_ENTRIES = 20_000
_CODE = "<code"

# Captured at import: the code may replace them.
_parse = ast.parse
_lines_of = linecache.cache.get
_type_name = type.__dict__["__name__"].__get__


class Scene:
    """The innermost line of the code in a traceback, with its names and its expression.

    ``direct`` is true where the code's own line raised the exception, and false
    where something that it called did: ``library`` and ``function`` name that.
    """

    def __init__(self, frame: FrameType, at: int, inner: CodeType | None) -> None:
        self.frame = frame
        self.direct = inner is None
        self.library = "" if inner is None else inner.co_filename
        self.function = "" if inner is None else inner.co_name
        self._at = at
        self._lines = _lines(frame.f_code.co_filename)
        self._read: dict[str, ast.AST | None] = {}

    @property
    def node(self) -> ast.AST | None:
        """The syntax tree of the expression or statement that failed, if it can be told."""
        if "node" not in self._read:
            self._read["node"] = _tree(self._segment())
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
            return _attribute(self.value_of(node.value, depth - 1), node.attr)
        if isinstance(node, ast.Subscript):
            base = self.value_of(node.value, depth - 1)
            return _item(base, self.value_of(node.slice, depth - 1))
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
        """Return what a loop on the failing line takes ``name`` from, and its expression.

        The variables of a comprehension are in no frame's names.
        """
        for node in islice(ast.walk(self.statement or ast.Pass()), 500):
            if isinstance(node, ast.comprehension | ast.For):
                target = node.target
                if isinstance(target, ast.Name) and target.id == name:
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
        lines = self._lines[line - 1 : last]
        if sum(map(len, lines[:50])) > _SEGMENT_CHARACTERS or len(lines) > 50:
            return ""
        # The columns count bytes of UTF-8.
        encoded = [one.encode() for one in lines]
        encoded[-1] = encoded[-1][:end]
        encoded[0] = encoded[0][start:]
        return b"".join(encoded).decode("utf-8", "replace")

    @classmethod
    def of(cls, error: BaseException) -> Scene | None:
        """Return the place in the code from which an exception came, if there is one."""
        own: TracebackType | None = None
        last: TracebackType | None = None
        step = error.__traceback__
        for _ in range(_FRAMES):
            if step is None:
                break
            if step.tb_frame.f_code.co_filename.startswith(_CODE):
                own = step
            last, step = step, step.tb_next
        if own is None or last is None:
            return None
        inner = None if last is own else last.tb_frame.f_code
        return cls(own.tb_frame, own.tb_lasti, inner)


def name_of_type(value: object) -> str:
    """Return the name of a value's type; its metaclass has no say in it."""
    name = _type_name(type(value))
    return name if type(name) is str else "?"


def entry(mapping: Any, key: object) -> Any:
    """Return the value of a str or int in an exact dict, or MISSING.

    Keys are compared one by one: a lookup could call ``__eq__`` of a key of the code.
    """
    if type(mapping) is not dict or type(key) not in (str, int):
        return MISSING
    for one, value in islice(mapping.items(), _ENTRIES):
        if type(one) is type(key) and one == key:
            return value
    return MISSING


def with_changed(tree: ast.AST, old: ast.AST, new: ast.AST) -> str:
    """Return the source text of a tree in which one node is replaced, "" if it is long."""
    text = ast.unparse(_Replaced(old, new).visit(tree))
    return text if len(text) <= _SHOWN_CHARACTERS and "\n" not in text else ""


class _Replaced(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> Any:
        return self._new if node is self._old else super().visit(node)


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


def _attribute(base: Any, name: str) -> Any:
    kind = type(base)
    if kind is Namespace or kind is ModuleType:
        return entry(_dict_of(kind, base), name)
    if kind is FunctionType and name == "run":
        return base  # of ``tools["orders.get"].run``
    return MISSING


def _item(base: Any, key: Any) -> Any:
    kind = type(base)
    if kind is dict:
        return entry(base, key)
    if kind is list or kind is tuple:
        if type(key) is int and -len(base) <= key < len(base):
            return base[key]
    elif kind is Tools and type(key) is str:
        return entry(base.by_name, key)
    return MISSING


def _dict_of(kind: type, value: object) -> Mapping[str, Any]:
    own: Mapping[str, Any] = object.__getattribute__(value, "__dict__")
    return own
