"""Sources of randomness and names that a process has once, and each line of a recorded run its own.

Shared by lines they would give another value in each replay: which line draws
first is chance. The main line keeps those of the process.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import random
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from codemode.sandbox.guest.recorded.lines import Line, current_line, enter_line
from codemode.sandbox.guest.recorded.record import Record

__all__ = ["install"]

_MENTIONS = (b"hread", b"xecutor")


def install(record: Record, code: bytes) -> None:
    """Give each line its own sources.

    Those that cost time at each use are exchanged when code that mentions threads
    begins, or else when the first line does.
    """
    setattr(threading, "_counter", _counter("thread", 1))  # noqa: B010  # private, for the type checker
    pool: Any = concurrent.futures.ThreadPoolExecutor
    pool._counter = staticmethod(_counter("pool", 0))
    if any(word in code for word in _MENTIONS):
        _install_generators(record)
    else:
        record.on_first_line.append(lambda: _install_generators(record))


def _install_generators(record: Record) -> None:
    main = record.main.own
    shared: Any = vars(random)["_inst"]
    _exchange_methods(main, random, shared, random.Random)
    for name in ("uuid1", "uuid6", "uuid7"):
        if hasattr(uuid, name):
            _exchange_generator_of_uuids(main, name)
    _exchange_names_of_files(main)
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        shared = numpy_random.mtrand._rand
        for name, method in (
            ("seed", "seed"),
            ("sample", "random_sample"),
            ("ranf", "random_sample"),
        ):
            setattr(numpy_random, name, getattr(shared, method))
        make = numpy_random.RandomState
        _exchange_methods(main, numpy_random, shared, lambda: make(int.from_bytes(os.urandom(4))))


def _of_line[T](key: str, make: Callable[[], T]) -> T:
    """Return what the current line has under a key, made at the first use."""
    own = current_line().own
    found: T | None = own.get(key)
    if found is None:
        found = own[key] = make()
    return found


def _exchange_methods(
    main: dict[str, Any], module: ModuleType, shared: Any, make: Callable[[], Any]
) -> None:
    """Let a module's functions, methods of one generator, draw from one of their line."""
    key = module.__name__
    main[key] = shared
    for name, function in list(vars(module).items()):
        if getattr(function, "__self__", None) is shared:
            method = getattr(type(shared), name, None) or getattr(type(shared), function.__name__)
            setattr(module, name, _exchanged(function, method, key, make))


def _exchanged(
    function: Callable[..., Any], method: Callable[..., Any], key: str, make: Callable[[], Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def draw(*args: Any, **kwargs: Any) -> Any:
        own = current_line().own
        generator = own.get(key)
        if generator is None:
            generator = own[key] = make()
        return method(generator, *args, **kwargs)

    return draw


def _exchange_generator_of_uuids(main: dict[str, Any], name: str) -> None:
    """Let a function that makes UUIDs of the clock compare it with the last one of its line."""
    original: Any = getattr(uuid, name)
    main[name] = original

    def copy() -> Callable[..., Any]:
        names = dict(vars(uuid))
        names.update({one: None for one in names if one.startswith("_last_timestamp")})
        copied = FunctionType(original.__code__, names, name, original.__defaults__)
        copied.__kwdefaults__ = original.__kwdefaults__
        return copied

    @functools.wraps(original)
    def make_uuid(*args: Any, **kwargs: Any) -> Any:
        return _of_line(name, copy)(*args, **kwargs)

    setattr(uuid, name, make_uuid)


def _exchange_names_of_files(main: dict[str, Any]) -> None:
    """Let temporary files have names of their line."""
    module: Any = tempfile
    original, find_folder = module._get_candidate_names, module._get_default_tempdir
    main["tempfile"] = original()

    def find_folder_apart() -> str:
        """Try folders without drawing from the line that happens to be the first to ask."""
        former = enter_line(Line("tempdir", now=0, wall=0, live=True, upcoming=None))
        try:
            return str(find_folder())
        finally:
            enter_line(former)

    module._get_candidate_names = lambda: _of_line("tempfile", module._RandomNameSequence)
    module._get_default_tempdir = find_folder_apart


def _counter(key: str, first: int) -> Callable[[], int]:
    """Return a function that counts on the current line."""

    def count() -> int:
        own = current_line().own
        number: int = own.get(key, first)
        own[key] = number + 1
        return number

    return count
