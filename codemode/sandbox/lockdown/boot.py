"""The zygote's preparations before its first fork: namespaces, view, filter, ruleset."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from codemode.sandbox.lockdown import landlock, namespaces, privileges, seccomp, view
from codemode.sandbox.lockdown.layers import FRAME_FD
from codemode.sandbox.syscalls import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl

__all__ = ["SHARED_LAYERS", "Prepared", "prepare"]

SHARED_LAYERS = (*namespaces.NAMESPACES, namespaces.EACH, "read_only_view")
"""The layers of tier A that the zygote sets up, once for all children or with each fork."""

_HIGHEST_FD = 1 << 20
_OOM_SCORE = "1000"
_MEMORY_SLACK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The prepared state that children inherit.

    ``pid_namespace`` is None when children share a namespace. ``refused`` names
    optional steps that the host did not allow.
    """

    pid_namespace: namespaces.PidNamespace | None
    memory_base: int
    readable: Sequence[str]
    landlock_fd: int | None
    filter_bytes: bytes
    highest_fd: int
    refused: Sequence[str]

    def fork(self) -> int:
        """Fork a child. Raises OSError."""
        return self.pid_namespace.fork() if self.pid_namespace is not None else os.fork()


def prepare(tier: str, exposed: Sequence[str], without: Collection[str] = ()) -> Prepared:
    """Prepare this process to fork children of the tier. Raises OSError.

    In tier A the calling process stays behind as the guardian, and this function
    returns in the zygote that it forks. ``without`` names layers that a mutation
    test leaves out.
    """
    # pidfds must work: the zygote watches its children by them, and the executor kills by them.
    os.close(namespaces.named("pidfd_open", os.pidfd_open, os.getpid()))
    highest_fd = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], _HIGHEST_FD)
    refused = []
    if not _may(_prefer_for_oom_kill):
        refused.append("oom_score_adj")
    # Listed here: in tier B the user of a child may not even search for these folders.
    readable = view.read_only_folders(exposed)
    if tier != "A":
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        return Prepared(
            pid_namespace=None,
            memory_base=_memory_base(),
            readable=readable,
            landlock_fd=None,
            filter_bytes=b"",
            highest_fd=highest_fd,
            refused=refused,
        )
    second_user = namespaces.enter(without)
    if "uts_namespace" not in without and not _may(_hide_host_name):
        refused.append("sethostname")
    namespaces.fork_zygote()
    pid_namespace = namespaces.PidNamespace(apart=namespaces.EACH not in without)
    memory_base = _memory_base()
    # Built as the namespace's root, which may read an interpreter below a 0700 home.
    if "read_only_view" not in without:
        view.build(readable, exposed)
    if second_user:
        privileges.become(1, privileges.CAP_SYS_ADMIN)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # again: the change of user cleared it
    else:
        privileges.set_capabilities(privileges.CAP_SYS_ADMIN)
    landlock_fd = _ruleset()
    first, last = map(seccomp.build, seccomp.parts(own_pid=1))
    if "seccomp_filter" not in without:
        seccomp.load(first)
    return Prepared(
        pid_namespace=pid_namespace,
        memory_base=memory_base,
        readable=readable,
        landlock_fd=landlock_fd,
        filter_bytes=last,
        highest_fd=highest_fd,
        refused=refused,
    )


def _ruleset() -> int | None:
    """Return a ruleset that, inside the view, denies devices, sockets, network and peers.

    Return None below Landlock version 2. With version 1 every rename between
    folders would fail, and the view protects without Landlock.
    """
    if landlock.abi() < 2:
        return None
    descriptor = landlock.ruleset_of_view()
    # Moved above the descriptors that a child sets up for itself.
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FRAME_FD + 1)
    os.close(descriptor)
    return moved


def _may(attempt: Callable[[], object]) -> bool:
    """Try an optional step, and return whether the host allows it."""
    try:
        attempt()
    except OSError:
        return False
    return True


def _hide_host_name() -> None:
    socket.sethostname("sandbox")


def _prefer_for_oom_kill() -> None:
    """Let the system kill sandboxes before the executor when memory runs out."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_OOM_SCORE)


def _memory_base() -> int:
    """Return the address space in bytes with which children of this process begin."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    return pages * resource.getpagesize() + _MEMORY_SLACK_BYTES
