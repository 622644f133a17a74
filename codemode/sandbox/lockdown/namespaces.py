"""The namespaces of the zygote and of each child.

The process that the executor starts becomes the guardian. It creates a user
namespace and the other namespaces below it, forks the zygote as PID 1 of the
new PID namespace, and then only waits. When the zygote dies, the kernel kills
every child.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Mapping
from typing import NoReturn

from codemode.sandbox.lockdown.privileges import CAP_SETUID, effective_capabilities
from codemode.sandbox.syscalls import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, prctl

__all__ = ["EACH", "NAMESPACES", "SANDBOX_UID", "PidNamespace", "enter", "fork_zygote", "named"]

SANDBOX_UID = 61_000
"""The user id of executed code on the host, if the executor may change to it."""

NAMESPACES: Mapping[str, int] = {
    "mount_namespace": os.CLONE_NEWNS,
    "network_namespace": os.CLONE_NEWNET,
    "ipc_namespace": os.CLONE_NEWIPC,
    "uts_namespace": os.CLONE_NEWUTS,
    "cgroup_namespace": os.CLONE_NEWCGROUP,
    "pid_namespace": os.CLONE_NEWPID,
}
"""The namespaces that separate the zygote from the host, below its user namespace."""

EACH = "pid_namespace_of_each"
"""The name of the layer that separates each child from its siblings."""


def enter(without: Collection[str] = ()) -> bool:
    """Move this single-threaded process into namespaces of its own. Raises OSError.

    ``without`` names the namespaces that a mutation test leaves out.

    Returns whether a second user id is mapped, to which the zygote then changes.
    """
    second_user = bool(effective_capabilities() & 1 << CAP_SETUID) and _is_mapped(SANDBOX_UID)
    uid, gid = os.geteuid(), os.getegid()
    if second_user:
        _unshare_mapped_by_sibling(uid, gid)
    else:
        named("unshare(CLONE_NEWUSER)", os.unshare, os.CLONE_NEWUSER)
        prctl(PR_SET_DUMPABLE, 1)  # otherwise, after a change of user id, root owns these files
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    flags = sum(flag for name, flag in NAMESPACES.items() if name not in without)
    named("unshare(CLONE_NEWNS|CLONE_NEWPID|...)", os.unshare, flags)
    return second_user


def fork_zygote() -> None:
    """Fork the zygote and return in it; the calling process stays behind as its guardian."""
    guardian = os.getpid()
    pid = os.fork()
    if pid:
        _guard(pid)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent outside this PID namespace is seen as 0.
    if os.getppid() not in (0, guardian):
        os._exit(1)


class PidNamespace:
    """A forker of children that are each PID 1 of their own PID namespace."""

    def __init__(self, *, apart: bool = True) -> None:
        self._apart = apart
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def fork(self) -> int:
        """Fork into a new PID namespace. Raises OSError."""
        if not self._apart:
            return os.fork()
        os.unshare(os.CLONE_NEWPID)
        pid = os.fork()
        if pid:
            # The kernel refuses the next unshare until this process is back in its own namespace.
            os.setns(self._own, os.CLONE_NEWPID)
        return pid


def _unshare_mapped_by_sibling(uid: int, gid: int) -> None:
    """Enter a user namespace with two users, whose maps only a process outside may write."""
    pid = os.getpid()
    go_read, go_write = os.pipe()
    mapper = os.fork()
    if mapper == 0:
        status = 1
        try:
            os.close(go_write)
            if os.read(go_read, 1):
                _write(f"/proc/{pid}/uid_map", f"0 {uid} 1\n1 {SANDBOX_UID} 1")
                _write(f"/proc/{pid}/gid_map", f"0 {gid} 1\n1 {SANDBOX_UID} 1")
                status = 0
        finally:
            os._exit(status)
    os.close(go_read)
    try:
        named("unshare(CLONE_NEWUSER)", os.unshare, os.CLONE_NEWUSER)
        prctl(PR_SET_DUMPABLE, 1)
        os.write(go_write, b"x")
    finally:
        os.close(go_write)
        _, status = os.waitpid(mapper, 0)
    if status:
        raise PermissionError("the user map of the sandbox could not be written")


def named[T, R](name: str, call: Callable[[T], R], argument: T) -> R:
    """Make a system call; name the call in its error, so that a reader can fix the host."""
    try:
        return call(argument)
    except OSError as error:
        raise OSError(error.errno, f"{name}: {error.strerror}") from None


def _is_mapped(uid: int) -> bool:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        ranges = [[int(part) for part in line.split()] for line in file]
    return any(first <= uid < first + count for first, _, count in ranges)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _guard(zygote: int) -> NoReturn:
    """Wait for the zygote and end with it; keep no descriptor open meanwhile."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.closerange(0, 1 << 16)
    os.waitpid(zygote, 0)
    os._exit(0)
