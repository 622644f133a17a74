"""Interpreters beside the one of a recorded run, which are refused.

They have clocks and randomness of their own, which a replay would not give again.
"""

from __future__ import annotations

import concurrent.futures
import functools
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn

__all__ = ["install"]

_Pool: Any = concurrent.futures.ThreadPoolExecutor
_init = _Pool.__init__
_NAMES = ("_interpreters", "_xxsubinterpreters")  # the second is that of Python 3.12
_made_by: Any = import_module(next(name for name in _NAMES if find_spec(name)))


def install() -> None:
    """Refuse interpreters, and pools of them, that the code makes from now on."""
    _made_by.create = _refuse
    _Pool.__init__ = _begin_pool


@functools.wraps(_init)
def _begin_pool(pool: Any, /, *args: Any, **kwargs: Any) -> None:
    # Its workers would fail one by one, where the code does not see the reason.
    if any(base.__name__ == "InterpreterPoolExecutor" for base in type(pool).__mro__):
        _refuse()
    _init(pool, *args, **kwargs)


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    raise NotImplementedError(
        "a recorded run has a single interpreter, as a replay cannot repeat what others see: "
        "use threads or asyncio"
    )
