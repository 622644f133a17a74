"""Landlock rulesets: which files, ports and peers a child may reach.

Constants and structures are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping

from codemode.sandbox.syscalls import syscall

__all__ = ["READ", "READ_WRITE", "abi", "restrict", "ruleset", "ruleset_of_view"]

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR = 16, 32, 64, 128
_MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK = 256, 512, 1024, 2048
_MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV = 4096, 8192, 16384, 32768

_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
READ = _READ_FILE | _READ_DIR
READ_WRITE = (
    READ
    | _WRITE_FILE
    | _REMOVE_DIR
    | _REMOVE_FILE
    | _MAKE_DIR
    | _MAKE_REG
    | _MAKE_SYM
    | _REFER
    | _TRUNCATE
)

# The rights that each version of the interface added.
_FILESYSTEM_BY_ABI = ((1, (1 << 13) - 1), (2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
_NETWORK = 1 | 2  # BIND_TCP, CONNECT_TCP
_SCOPES = 1 | 2  # abstract Unix sockets, signals

_CREATE_VERSION = 1
_RULE_PATH_BENEATH = 1


def abi() -> int:
    """Return the kernel's Landlock version, or 0 if there is no Landlock."""
    try:
        return syscall("landlock_create_ruleset", 0, 0, _CREATE_VERSION)
    except (OSError, NotImplementedError):
        return 0


def ruleset(allowed: Mapping[str, int]) -> int:
    """Make a ruleset that grants only these rights below these paths; return its descriptor.

    The ruleset handles every right that the kernel's version knows, and so denies
    it elsewhere. A path that does not exist is left out. Raises OSError.
    """
    return _make(-1, allowed)


def ruleset_of_view() -> int:
    """Make a ruleset for a child in a read-only view; return its descriptor.

    The view decides what can be read. The ruleset denies executing, devices,
    sockets, TCP and other processes. Landlock denies a rename between folders in
    every domain unless a rule grants it. A rule on ``/`` also covers mounts made
    later.
    """
    handled = _EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _MAKE_FIFO | _REFER
    return _make(handled, {"/": _REFER})


def _make(wanted: int, allowed: Mapping[str, int]) -> int:
    version = abi()
    if version == 0:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no Landlock, or it is not enabled (lsm=)")
    handled = wanted & sum(rights for since, rights in _FILESYSTEM_BY_ABI if version >= since)
    network = _NETWORK if version >= 4 else 0
    scopes = _SCOPES if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, network, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    descriptor = syscall("landlock_create_ruleset", ctypes.addressof(buffer), size, 0)
    for path, rights in allowed.items():
        _allow(descriptor, path, rights & handled)
    return descriptor


def restrict(descriptor: int) -> None:
    """Put this thread under the ruleset permanently. Needs no_new_privs. Raises OSError."""
    syscall("landlock_restrict_self", descriptor, 0)


def _allow(descriptor: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _FILE_RIGHTS
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, parent), 12)
        syscall("landlock_add_rule", descriptor, _RULE_PATH_BENEATH, ctypes.addressof(rule), 0)
    finally:
        os.close(parent)
