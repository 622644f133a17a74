"""Capabilities and user ids of a process, given up permanently."""

from __future__ import annotations

import ctypes
import os
import struct

from codemode.sandbox.syscalls import PR_SET_KEEPCAPS, prctl, syscall

__all__ = [
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "become",
    "effective_capabilities",
    "set_capabilities",
]

CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_ADMIN = 21
_VERSION_3 = 0x20080522


def effective_capabilities() -> int:
    """Return this thread's effective capabilities as a bit mask."""
    header = ctypes.create_string_buffer(struct.pack("Ii", _VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    syscall("capget", ctypes.addressof(header), ctypes.addressof(data))
    low, _, _, high, _, _ = struct.unpack("6I", data.raw)
    return int(low | high << 32)


def set_capabilities(*kept: int) -> None:
    """Keep only these capabilities, permitted and effective. Raises OSError."""
    mask = sum(1 << capability for capability in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("Ii", _VERSION_3, 0)
    syscall("capset", header, struct.pack("6I", low, low, 0, high, high, 0))


def become(uid: int, *kept: int) -> None:
    """Change to a user and group without supplementary groups, keeping only these capabilities.

    Raises OSError.
    """
    prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_KEEPCAPS, 0)
    set_capabilities(*kept)
