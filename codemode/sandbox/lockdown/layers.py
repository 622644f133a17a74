"""The layers of a child's lock-down, in order, by tier.

Each layer is a function that can be read, tested and, in mutation tests only,
left out by its name. What can be prepared once is prepared in the zygote and
handed over in ``Boot``; a child only applies it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from codemode.sandbox.lockdown import landlock, seccomp, view
from codemode.sandbox.lockdown.privileges import set_capabilities
from codemode.sandbox.syscalls import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
)
from codemode.wire.constants import SANDBOX_USERS

__all__ = ["CHANNEL_FD", "LAYERS", "Boot", "Layer"]

CHANNEL_FD = 3
_NICENESS = 5  # a third of the usual weight: somebody waits for the code as well
_THREAD_STACK_BYTES = 2 * 1024 * 1024
_FIRST_SLOT_UID = 61_001

# What they bound is out of reach behind the filter, or is memory that is limited anyway.
_DISPENSABLE = ("RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_SIGPENDING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What the zygote has prepared for a child.

    ``without`` names layers that a mutation test leaves out; it is empty
    everywhere else. Layers add to ``refused`` what the host does not let them do.
    """

    tier: str
    slot: int
    zygote_pid: int
    rlimits: Mapping[str, int]
    threads: int
    disk_bytes: int
    workdir: str
    memory_base: int
    landlock_fd: int | None
    filter_bytes: bytes
    highest_fd: int
    readable: Sequence[str]
    without: frozenset[str] = frozenset()
    refused: list[str] = field(default_factory=list)


Layer = Callable[[Boot], None]


def own_session(boot: Boot) -> None:
    """Leave the zygote's process group: ``kill(0)`` crosses PID namespaces."""
    os.setsid()


def low_priority(boot: Boot) -> None:
    """Go after the executor and the zygote where all threads compete with each other, for good."""
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    if resource.getrlimit(resource.RLIMIT_NICE) != (0, 0):  # with 0 nobody gets it back
        resource.setrlimit(resource.RLIMIT_NICE, (0, 0))


def die_with_zygote(boot: Boot) -> None:
    """Be killed when the zygote dies."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # From within a PID namespace of its own the parent has no number.
    if os.getppid() not in (0, boot.zygote_pid):
        raise RuntimeError("the zygote died during the start")


def private_tmp(boot: Boot) -> None:
    """Have a /tmp of one's own, bounded in bytes and files, from which nothing is executed."""
    os.unshare(os.CLONE_NEWNS)
    view.private_tmp(boot.disk_bytes, inodes=1024)


def nested_user_namespace(boot: Boot) -> None:
    """Be nobody in the zygote's namespaces, and have a count of threads of one's own."""
    os.unshare(os.CLONE_NEWUSER)


def user_of_slot(boot: Boot) -> None:
    """Be a user that no sibling is."""
    uid = _FIRST_SLOT_UID + boot.slot % SANDBOX_USERS
    os.chown(boot.workdir, uid, uid)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def work_folder(boot: Boot) -> None:
    """Work in a folder of one's own; the executor removes it afterwards."""
    os.mkdir(boot.workdir, 0o700)
    os.chdir(boot.workdir)
    os.environ["HOME"] = os.environ["TMPDIR"] = boot.workdir


def ceilings(boot: Boot) -> None:
    """Set the hard limits to the executor's ceilings; a run can only lower them."""
    for name, value in boot.rlimits.items():
        if name not in boot.without:
            try:
                _lower(getattr(resource, name), value)
            except (OSError, ValueError):  # ValueError is what Python makes of EPERM and EINVAL
                if name not in _DISPENSABLE:
                    raise
                boot.refused.append(name)


def thread_ceiling(boot: Boot) -> None:
    """Bound the threads, where their count is not shared with other processes."""
    _lower(resource.RLIMIT_NPROC, boot.threads)


def no_privileges(boot: Boot) -> None:
    """Give up every capability, and the ways to new ones: set-uid programs and core helpers."""
    set_capabilities()
    no_new_privileges(boot)


def no_new_privileges(boot: Boot) -> None:
    """Make set-uid programs and core dump helpers of no use."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)


def landlock_domain(boot: Boot) -> None:
    """Enter the ruleset that the zygote has made, if the kernel has Landlock."""
    if boot.landlock_fd is not None:
        landlock.restrict(boot.landlock_fd)
        os.close(boot.landlock_fd)


def landlock_files(boot: Boot) -> None:
    """Reach the interpreter's files, the exposed packages and the own folder only."""
    rules = dict.fromkeys((*boot.readable, *view.DEVICES), landlock.READ)
    rules |= {"/dev/null": landlock.READ_WRITE, boot.workdir: landlock.READ_WRITE}
    descriptor = landlock.ruleset(rules)
    landlock.restrict(descriptor)
    os.close(descriptor)


def fresh_randomness(boot: Boot) -> None:
    """Give this child random numbers of its own, whatever it shares with its siblings.

    CPython reseeds ``random`` after a fork. OpenSSL does so when it draws in a
    process of another number than last time: in tier A that is the guardian's,
    which has imported what is preloaded, and no child's. numpy does not notice.
    """
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed(memoryview(os.urandom(32)).cast("I").tolist())


def small_stacks(boot: Boot) -> None:
    """Let threads reserve little of the address space that is limited."""
    threading.stack_size(_THREAD_STACK_BYTES)


def seccomp_filter(boot: Boot) -> None:
    """Load the system call filter, or what the zygote's lacks; no lock-down can follow it."""
    seccomp.load(
        boot.filter_bytes or seccomp.build(seccomp.program(own_pid=os.getpid(), namespaces=False))
    )


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


LAYERS: Mapping[str, tuple[Layer, ...]] = {
    "A": (
        own_session,
        low_priority,
        die_with_zygote,
        private_tmp,
        nested_user_namespace,
        ceilings,
        thread_ceiling,
        fresh_randomness,
        small_stacks,
        no_privileges,
        landlock_domain,
        seccomp_filter,
    ),
    "B": (
        own_session,
        low_priority,
        work_folder,
        user_of_slot,
        die_with_zygote,
        ceilings,
        thread_ceiling,
        fresh_randomness,
        small_stacks,
        no_privileges,
        landlock_files,
        seccomp_filter,
    ),
    "C": (
        own_session,
        low_priority,
        die_with_zygote,
        work_folder,
        ceilings,
        fresh_randomness,
        small_stacks,
        no_privileges,
        landlock_files,
        seccomp_filter,
    ),
    "none": (
        own_session,
        low_priority,
        die_with_zygote,
        work_folder,
        ceilings,
        fresh_randomness,
        small_stacks,
        no_new_privileges,
    ),
}
"""The layers of each tier, in the order in which they are applied."""
