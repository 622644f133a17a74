"""Numbers of system calls from independent sources: libseccomp and the kernel's headers."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

__all__ = ["RESOLVERS", "Resolver"]

Resolver = Callable[[str, Iterable[str]], Mapping[str, int] | None]
"""Returns the numbers of the names that a machine has, or None where the source is missing."""

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_HEADERS = {
    "x86_64": ("x86_64-linux-gnu/asm/unistd_64.h", "asm/unistd_64.h"),
    "aarch64": ("asm-generic/unistd.h",),
}


def _libseccomp(machine: str, names: Iterable[str]) -> Mapping[str, int] | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    numbers = {name: resolve(_ARCHITECTURES[machine], name.encode()) for name in names}
    # Negative numbers stand for calls that only other machines have.
    return {name: number for name, number in numbers.items() if number >= 0}


def _headers(machine: str, names: Iterable[str]) -> Mapping[str, int] | None:
    for name in _HEADERS[machine]:
        path = Path("/usr/include") / name
        if path.exists():
            break
    else:
        return None
    text = path.read_text()
    defined = re.findall(r"^#define\s+(__NR(?:3264)?_\w+)\s+(\d+)", text, re.MULTILINE)
    by_macro = {macro: int(number) for macro, number in defined}
    # The generic table takes two steps to define what differs on 32-bit machines.
    aliases = re.findall(r"^#define\s+(__NR_\w+)\s+(__NR3264_\w+)", text, re.MULTILINE)
    by_macro |= {macro: by_macro[other] for macro, other in aliases if other in by_macro}
    known = {macro.removeprefix("__NR_"): number for macro, number in by_macro.items()}
    return {name: known[name] for name in names if name in known}


RESOLVERS: Mapping[str, Resolver] = {"libseccomp": _libseccomp, "headers": _headers}
