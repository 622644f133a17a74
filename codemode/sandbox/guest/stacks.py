"""Stacks and tracebacks as the executed code sees them: without the frames of this package.

The files of this package get names that say nothing of this machine, and the
modules ``traceback`` and ``inspect`` leave their frames out. Who walks the
frames by hand still meets these, under the new names.
"""

from __future__ import annotations

import _imp
import functools
import gc
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

__all__ = ["HIDDEN", "PACKAGE", "hide_package"]

PACKAGE = __file__.removesuffix("sandbox/guest/stacks.py")
"""The folder of this package, as the file names of its code begin."""

HIDDEN = "<runtime: "
"""The start of the names that ``hide_package`` gives to the files."""

# Python's warnings and logging pass over frames of files with these two words in their name: they
# show a line of the code, or <sys> where no frame is left.
_PASSED_OVER = "passed over like importlib._bootstrap"

_WALKERS = ("walk_stack", "walk_tb", "_walk_tb_with_full_positions")

# Captured at import: the code may replace it.
_Traceback = TracebackType


def hide_package() -> None:
    """Rename the files of all loaded code of this package, and leave its frames out.

    For a process that runs no code but the sandbox's: nothing restores it.
    """
    for code in set(_loaded()):
        if code.co_filename.startswith(PACKAGE):
            # In place, as the importer does it: frames and functions keep their code.
            getattr(_imp, "_fix_co_filename")(code, _new_name(code.co_filename))  # noqa: B009  # not in the types
    for name in _WALKERS:
        if walk := getattr(traceback, name, None):
            setattr(traceback, name, _filtered(walk))
    for name in ("getouterframes", "getinnerframes"):
        setattr(inspect, name, _listed(_filtered(getattr(inspect, name))))
    sys.unraisablehook = _report_unraisable
    if sys.version_info < (3, 13):
        # From 3.13 on, the interpreter's own hook calls the module's functions.
        sys.excepthook = _print_exception


def _without_package(first: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of this package."""
    steps = []
    while first is not None:
        if not _is_hidden(first.tb_frame.f_code):
            steps.append(first)
        first = first.tb_next
    chain = None
    for step in reversed(steps):
        chain = _Traceback(chain, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return chain


def _loaded() -> Iterator[CodeType]:
    """Yield the code of all functions, and of the frames of this thread."""
    for thing in gc.get_objects():
        if type(thing) is FunctionType:
            yield thing.__code__
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def _new_name(path: str) -> str:
    module = path[len(PACKAGE) :].removesuffix(".py").replace("/", ".")
    return f"{HIDDEN}{module}, {_PASSED_OVER}>"


def _is_hidden(code: CodeType) -> bool:
    return code.co_filename.startswith((HIDDEN, PACKAGE))


def _is_shown(step: Any) -> bool:
    """Whether a step of a walk, whose first item is its frame, is of other code."""
    return not _is_hidden(step[0].f_code)


def _filtered(walk: Callable[..., Iterable[Any]]) -> Callable[..., Iterable[Any]]:
    @functools.wraps(walk)
    def call(*args: Any, **kwargs: Any) -> Iterable[Any]:
        # A filter has no frame of its own: before Python 3.14, walk_stack counts those above it.
        return filter(_is_shown, walk(*args, **kwargs))

    return call


def _listed(walk: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    @functools.wraps(walk)
    def call(*args: Any, **kwargs: Any) -> list[Any]:
        return list(walk(*args, **kwargs))

    return call


def _report_unraisable(ignored: sys.UnraisableHookArgs) -> None:
    parts: list[Any] = list(ignored)  # type: ignore[call-overload]  # a named tuple
    parts[2] = _without_package(ignored.exc_traceback)
    sys.__unraisablehook__(type(ignored)(parts))  # type: ignore[call-arg]  # likewise


def _print_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    traceback.print_exception(kind, error, trace)
