"""The layers of a child's lock-down, in order, by tier.

Each layer is a function that can be read, tested and, in mutation tests only,
left out by its name. The zygote prepares once what all children share and
passes it on in ``Boot``; a child only applies it.
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

__all__ = ["FRAME_FD", "LAYERS", "Boot", "Layer"]

FRAME_FD = 3
_NICENESS = 5  # a third of the usual weight, not less: a user waits for the code too
_THREAD_STACK_BYTES = 2 * 1024 * 1024
_FIRST_UID = 61_001

# These limits cover resources that the filter keeps out of reach, or memory limited elsewhere.
_DISPENSABLE = ("RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_SIGPENDING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """The zygote's preparations for one child.

    ``without`` names layers that a mutation test leaves out; it is empty
    everywhere else. Layers add to ``refused`` the names of optional steps that
    the host did not allow.
    """

    tier: str
    number: int
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
    """Lower the priority below the executor's and the zygote's, permanently.

    Needed where the threads of all processes compete with each other.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    if resource.getrlimit(resource.RLIMIT_NICE) != (0, 0):  # at 0 the priority cannot be raised
        resource.setrlimit(resource.RLIMIT_NICE, (0, 0))


def die_with_zygote(boot: Boot) -> None:
    """Have the kernel kill this process when the zygote dies."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Inside a PID namespace of its own, this process sees its parent as 0.
    if os.getppid() not in (0, boot.zygote_pid):
        raise RuntimeError("the zygote died during the start")


def private_tmp(boot: Boot) -> None:
    """Mount a private /tmp, limited in bytes and files, from which nothing can be executed."""
    os.unshare(os.CLONE_NEWNS)
    view.private_tmp(boot.disk_bytes, inodes=1024)


def nested_user_namespace(boot: Boot) -> None:
    """Enter a user namespace: no rights in the zygote's namespaces, a separate thread count."""
    os.unshare(os.CLONE_NEWUSER)


def user_of_number(boot: Boot) -> None:
    """Change to a user id that no sibling has."""
    uid = _FIRST_UID + boot.number % SANDBOX_USERS
    os.chown(boot.workdir, uid, uid)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def work_folder(boot: Boot) -> None:
    """Create this child's work folder and enter it; the executor removes it afterwards."""
    os.mkdir(boot.workdir, 0o700)
    os.chdir(boot.workdir)
    os.environ["HOME"] = os.environ["TMPDIR"] = boot.workdir


def ceilings(boot: Boot) -> None:
    """Set the hard limits to the executor's ceilings; a run can only lower them."""
    for name, value in boot.rlimits.items():
        if name not in boot.without:
            try:
                _lower(getattr(resource, name), value)
            except (OSError, ValueError):  # Python raises ValueError for EPERM and EINVAL
                if name not in _DISPENSABLE:
                    raise
                boot.refused.append(name)


def thread_ceiling(boot: Boot) -> None:
    """Limit the threads, where their count is not shared with other processes."""
    _lower(resource.RLIMIT_NPROC, boot.threads)


def no_privileges(boot: Boot) -> None:
    """Drop every capability, and the ways to new ones: set-uid programs and core helpers."""
    set_capabilities()
    no_new_privileges(boot)


def no_new_privileges(boot: Boot) -> None:
    """Make set-uid programs and core dump helpers useless for new privileges."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)


def landlock_domain(boot: Boot) -> None:
    """Apply the ruleset that the zygote has made, if any."""
    if boot.landlock_fd is not None:
        landlock.restrict(boot.landlock_fd)
        os.close(boot.landlock_fd)


def landlock_files(boot: Boot) -> None:
    """Allow only the interpreter's files, the devices, the exposed packages and the work folder."""
    rules = dict.fromkeys((*boot.readable, *view.DEVICES), landlock.READ)
    rules |= {"/dev/null": landlock.READ_WRITE, boot.workdir: landlock.READ_WRITE}
    descriptor = landlock.ruleset(rules)
    landlock.restrict(descriptor)
    os.close(descriptor)


def fresh_randomness(boot: Boot) -> None:
    """Give this child random numbers that differ from those of its siblings.

    CPython reseeds ``random`` after a fork. OpenSSL reseeds when it draws in a
    process with another PID than at its last draw. In tier A the last draw was
    made by the guardian, which imported the preloaded packages, and no child has
    its PID. numpy does not reseed.
    """
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed(memoryview(os.urandom(32)).cast("I").tolist())


def small_stacks(boot: Boot) -> None:
    """Keep thread stacks small, as they count toward the limit of the address space."""
    threading.stack_size(_THREAD_STACK_BYTES)


def seccomp_filter(boot: Boot) -> None:
    """Load the system call filter, or the rest of the zygote's; no layer can follow it."""
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
        user_of_number,
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
