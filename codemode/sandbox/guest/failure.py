"""Reports of failed runs, in terms of the executed code."""

from __future__ import annotations

import builtins
import os
import re
import traceback
from collections.abc import Callable
from types import TracebackType

from codemode.sandbox.guest.code.problems import RefusedCodeError
from codemode.sandbox.guest.stacks import HIDDEN, PACKAGE

__all__ = ["MEMORY_MESSAGE", "Failure", "ResultError", "describe", "strip"]

_NO_MEMORY = "the code needed more memory than its limit"
_LESS = "work on less data at a time"
MEMORY_MESSAGE = f"{_NO_MEMORY}: {_LESS}"

FRAMES_KEPT = 100
TEXT_CHARACTERS = 16 * 1024
EXCEPTIONS_VISITED = 1000

_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_NOT_THE_CODES = (_STANDARD_LIBRARY, PACKAGE, HIDDEN, "<frozen ")
_OF_PACKAGES = ("/site-packages/", "/dist-packages/")

# Captured at import: the code may replace functions of os, which os.path.join calls too.
_environ = os.environ
# These read an exception and its type without properties that the code has put there.
_traceback_of = BaseException.__dict__["__traceback__"].__get__
_name_of = type.__dict__["__name__"].__get__

_SUGGESTED = (AttributeError, ImportError, NameError)
_BUILTINS = frozenset(dir(builtins))
_QUOTED = re.compile(r"'(\w{1,100})'")

Failure = tuple[str, str, str, str]
"""Type, message, line ("" when unknown) and traceback."""


class ResultError(Exception):
    """A result that cannot be sent, of code that ran to its end."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type


def describe(error: BaseException, filename: str, advice: str = "") -> Failure:
    """Return the report of an exception that ended the code in ``filename``.

    ``advice`` says what to write instead, and ends the message.
    """
    try:
        return _describe(error, filename, advice)
    except MemoryError:
        raise
    except BaseException as problem:  # noqa: BLE001  # properties of the code's own classes ran
        kind, line = _cut(_name_of(type(error))), _line_of(_traceback_of(error), filename)
        why = _cut(_name_of(type(problem)))
        return kind, f"<{kind} that cannot be shown: {why}>", str(line or ""), ""


def _describe(error: BaseException, filename: str, advice: str) -> Failure:
    if isinstance(error, ResultError):
        return error.type, _cut(str(error)), "", ""
    if isinstance(error, RefusedCodeError):
        return error.type, _cut(str(error)), str(error.line), _cut(error.traceback)
    if isinstance(error, MemoryError):
        # The exceptions in its context add nothing to the report.
        error.__context__ = None
    strip(error)
    line = _line(error, filename)
    text = "" if isinstance(error, SystemExit) else _traceback_text(error)
    message = _message(error)
    if isinstance(error, _SUGGESTED):
        message += _suggestion(message, text, advice)
    if advice:
        message = f"{message}\n{advice}" if message else advice
    return _type(error), _cut(message), _cut(str(line)) if line else "", _cut(text)


def strip(error: BaseException) -> None:
    """Remove all frames but the code's own from an exception and all linked exceptions."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < EXCEPTIONS_VISITED:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _own_frames(one.__traceback__)
        if type(one) in (ImportError, ModuleNotFoundError) and isinstance(one, ImportError):
            _hide_path(one)
        waiting += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def _own_frames(first: TracebackType | None) -> TracebackType | None:
    """Return the traceback without frames of the guest, the standard library and packages."""
    steps = []
    while first is not None:
        if _is_the_codes(first.tb_frame.f_code.co_filename):
            steps.append(first)
            if len(steps) > 2 * FRAMES_KEPT:
                del steps[FRAMES_KEPT]
        first = first.tb_next
    chain = None
    for step in reversed(steps):
        chain = TracebackType(chain, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return chain


def _is_the_codes(filename: str) -> bool:
    # The code's own modules are files of its work folder, below which other folders may lie.
    # Code without a file has a name such as <code> or <string>.
    own = ("<", f"{_environ.get('TMPDIR', '<').rstrip('/')}/")
    if not filename.startswith(own) or filename.startswith(_NOT_THE_CODES):
        return False
    return not any(part in filename for part in _OF_PACKAGES)


def _hide_path(error: ImportError) -> None:
    """Remove from the message where the module lies on this machine."""
    if type(error.path) is str and type(error.msg) is str:
        error.msg = error.msg.replace(f" ({error.path})", "")


def _line(error: BaseException, filename: str) -> int | None:
    """Return the line of the code in ``filename`` that failed, counted from 1."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return error.lineno
    return _line_of(error.__traceback__, filename)


def _line_of(step: TracebackType | None, filename: str) -> int | None:
    line = None
    while step is not None:
        if step.tb_frame.f_code.co_filename == filename:
            line = step.tb_lineno
        step = step.tb_next
    return line


def _type(error: BaseException) -> str:
    return "MemoryLimit" if isinstance(error, MemoryError) else _cut(type(error).__name__)


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        called = "sys.exit()" if error.code is None else f"sys.exit({_safe(repr, error.code)})"
        return (
            f"the code called {called}: a run ends by itself after its last line; "
            "to end with a value assign it to result, to fail raise an exception"
        )
    if isinstance(error, MemoryError):
        text = _safe(str, error)
        return f"{_NO_MEMORY} ({text}): {_LESS}" if text else MEMORY_MESSAGE
    return error.msg if isinstance(error, SyntaxError) and error.msg else _safe(str, error)


def _suggestion(message: str, text: str, advice: str) -> str:
    """Return Python's own suggestion of a name, which only the traceback shows.

    With ``advice`` it is left out where it is the same, an import or a builtin.
    """
    _, found, after = text.rpartition(f": {message}. Did you ")
    if not found:
        return ""
    suggestion = "Did you " + after.partition("\n")[0]
    name = _QUOTED.search(suggestion)
    if advice and (
        name is None or name[1] in _BUILTINS or re.search(rf"\b{re.escape(name[1])}\b", advice)
    ):
        return ""
    return f". {suggestion}"


def _safe(show: Callable[[object], str], thing: object) -> str:
    """Return ``show(thing)``, or a placeholder when the code's own methods fail."""
    try:
        return show(thing)
    except BaseException as error:  # noqa: BLE001  # the report goes on after any error
        return f"<{type(thing).__name__} that cannot be shown: {type(error).__name__}>"


def _traceback_text(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except MemoryError:
        raise
    except BaseException as problem:  # noqa: BLE001  # methods of the code's own classes ran
        return f"{type(error).__name__}: its traceback cannot be shown: {type(problem).__name__}\n"


def _cut(text: str) -> str:
    text = str.__str__(text)  # of a subclass of the code's, whose methods would run
    if len(text) <= TEXT_CHARACTERS:
        return text
    half = TEXT_CHARACTERS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
