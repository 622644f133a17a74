"""gRPC's objects that are never freed: freeing them would call gRPC where it cannot answer."""

from __future__ import annotations

import atexit
import ctypes
import weakref

__all__ = ["keep_at_exit", "keep_for_ever"]


def keep_for_ever(*things: object) -> None:
    """Keep what a forked child has inherited: freeing it would call into its parent's gRPC."""
    _kept.append(things)


def keep_at_exit[T](thing: T) -> T:
    """Return a call or a channel, which is kept if it is still there when the process ends.

    The interpreter ends by stopping all daemon threads where they are, gRPC's
    too, and then frees what is left. gRPC takes a lock to free a call or a
    channel. Where a stopped thread holds that lock, the process would never end.
    """
    if _at_exit:
        keep_for_ever(thing)
    else:
        _alive[id(thing)] = thing
    return thing


def _keep_all() -> None:
    global _at_exit
    _at_exit = True
    # Copied in one step: threads that still run may add to it.
    keep_for_ever([reference() for reference in _alive.valuerefs()])


_alive: weakref.WeakValueDictionary[int, object] = weakref.WeakValueDictionary()
_at_exit = False

_kept: list[object] = []
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_kept))  # kept even when the interpreter ends

atexit.register(_keep_all)
