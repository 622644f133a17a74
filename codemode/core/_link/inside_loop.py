"""Sync calls in a thread where an event loop runs."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from codemode.core._dispatch.threads import adopt_locals, call_each
from codemode.core.registry import ComponentRegistry

__all__ = ["call_in_worker_thread", "call_outside_loop"]

_OUR_FILES = str(Path(__file__).parents[1])


def call_outside_loop[T](
    function: Callable[[], T],
    registry: ComponentRegistry,
    name: str = "execute",
    instead: str | None = None,
) -> T:
    """Call ``function`` here, or in a worker thread when an event loop runs here.

    ``name`` is that of the method which the project has called, and ``instead``
    that of its async form, if it does not end in ``_async``.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        inside_loop = False
    else:
        inside_loop = True
    if not inside_loop:
        return function()
    _warn_about_loop(name, instead or f"{name}_async")
    return call_in_worker_thread(function, registry)


def call_in_worker_thread[T](function: Callable[[], T], registry: ComponentRegistry) -> T:
    """Call ``function`` in a thread of its own, which closes what tools have opened there."""
    context = contextvars.copy_context()

    def adopted() -> T:
        adopt_locals()
        return function()

    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(context.run(adopted))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            failure.append(error)
        finally:
            call_each(registry.extensions.thread_finalizers)

    thread = threading.Thread(target=work, name="codemode-execute")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


_warned_about_loop = False


def _warn_about_loop(name: str, instead: str) -> None:
    global _warned_about_loop
    if not _warned_about_loop:
        _warned_about_loop = True
        warnings.warn(
            f"{name}() was called inside a running event loop, which it blocks, and its tools run "
            f"in another thread; await {instead}() instead",
            RuntimeWarning,
            skip_file_prefixes=(_OUR_FILES,),
        )
