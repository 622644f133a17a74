"""System calls that Python's standard library does not offer."""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = [
    "PR_SET_DUMPABLE",
    "PR_SET_KEEPCAPS",
    "PR_SET_NO_NEW_PRIVS",
    "PR_SET_PDEATHSIG",
    "mount",
    "pivot_root",
    "prctl",
    "syscall",
    "umount",
]

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

# Calls without a wrapper in every C library. Newer calls have the same number
# on all machines (linux/unistd.h).
_NUMBERS = {
    "pivot_root": {"x86_64": 155, "aarch64": 41},
    "capget": {"x86_64": 125, "aarch64": 90},
    "capset": {"x86_64": 126, "aarch64": 91},
    "seccomp": {"x86_64": 317, "aarch64": 277},
    "mount_setattr": {"x86_64": 442, "aarch64": 442},
    "landlock_create_ruleset": {"x86_64": 444, "aarch64": 444},
    "landlock_add_rule": {"x86_64": 445, "aarch64": 445},
    "landlock_restrict_self": {"x86_64": 446, "aarch64": 446},
}

_libc = ctypes.CDLL(None, use_errno=True)
_machine = platform.machine()


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(name: str, *arguments: int | bytes) -> int:
    """Make a system call by its name and return its result.

    Raises OSError, and NotImplementedError when the call's number on this machine is not known.
    """
    number = _NUMBERS[name].get(_machine)
    if number is None:
        raise NotImplementedError(f"the number of {name} is not known for {_machine!r}")
    words = [
        ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.c_long(argument)
        for argument in arguments
    ]
    return _checked(_libc.syscall(ctypes.c_long(number), *words), name)


def prctl(option: int, argument: int = 0) -> None:
    """Call prctl(2). Raises OSError."""
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero)
    _checked(result, f"prctl({option}, {argument})")


def mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    """Call mount(2). Raises OSError."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _checked(result, f"mount({target})")


def umount(target: str, flags: int) -> None:
    """Call umount2(2). Raises OSError."""
    _checked(_libc.umount2(os.fsencode(target), flags), f"umount2({target})")


def pivot_root(new_root: str, put_old: str) -> None:
    """Call pivot_root(2). Raises OSError."""
    syscall("pivot_root", os.fsencode(new_root), os.fsencode(put_old))
