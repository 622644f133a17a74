"""Immortal objects, which forked children use without copying them.

CPython counts the references to an object in the object itself. A child that uses an object of
the zygote therefore writes to the object's page, and the kernel copies the page for the child.
CPython does not count references to immortal objects such as None (PEP 683). ``share_objects``
makes every object of the zygote immortal.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from types import CodeType

__all__ = ["share_objects"]

_IMMORTAL = 0x80000000
# References that were taken before are given back, uncounted from 3.14 on: the count stays above
# what the interpreter writes to by this much. In 3.13 all bits are set.
_MARGIN = 0x20000000
# From 3.14 on the interpreter's stack asks this flag, in the word after the count.
_UNCOUNTED = 0x10000 if sys.version_info >= (3, 14) else 0
_WRITABLE = 0x200  # PyBUF_WRITE

# The whole address space of a process, from the first page that may be in use.
_FIRST_ADDRESS = 4096
_ADDRESSES = 1 << 56


def share_objects() -> None:
    """Exempt every object that exists now from collection, reference counting and freeing.

    The garbage collector is disabled afterwards. If the reference count does not
    have the expected layout, as in a build without the global lock, objects are
    still counted: children are then larger and start more slowly.
    """
    gc.collect()
    gc.disable()
    memory = _memory()
    if _count_is_known(memory):
        _stop_counting(memory)
    gc.freeze()


def _stop_counting(memory: memoryview[int]) -> None:
    endless = memory[_place(None)] | _MARGIN
    found: list[object] = gc.get_objects()
    while found:
        one = found.pop()
        place = _place(one)
        if memory[place] & _IMMORTAL:
            continue
        memory[place] = endless
        if _UNCOUNTED:
            memory[place + 1] |= _UNCOUNTED
        found += gc.get_referents(one)
        if isinstance(one, CodeType):  # the collector does not report its parts
            found += (one.co_consts, one.co_names, one.co_name, one.co_qualname)
            found += (one.co_filename, one.co_linetable, one.co_exceptiontable)


def _count_is_known(memory: memoryview[int]) -> bool:
    """Return whether an object begins with the low half of its count and None is immortal."""
    one = object()
    before = memory[_place(one)]
    more = [one] * 1000
    counted = memory[_place(one)] - before
    low, high = memory[_place(None)], memory[_place(None) + 1]
    return counted == len(more) and bool(low & _IMMORTAL) and high & _UNCOUNTED == _UNCOUNTED


def _place(one: object) -> int:
    return (id(one) - _FIRST_ADDRESS) >> 2


def _memory() -> memoryview[int]:
    """Return this process's memory as 32-bit numbers."""
    view = ctypes.pythonapi.PyMemoryView_FromMemory
    view.restype = ctypes.py_object
    view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
    memory: memoryview[int] = view(_FIRST_ADDRESS, _ADDRESSES, _WRITABLE)
    return memory.cast("I")
