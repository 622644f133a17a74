"""The system call filter, interpreted and compared with the policy by numbers that are not ours."""

from __future__ import annotations

import errno
import itertools
import json
import os
import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import codemode
from codemode.sandbox.lockdown import policy, seccomp
from codemode.sandbox.lockdown.syscall_numbers import NUMBERS
from tests.codemode.sandbox.lockdown.bpf import Call, check, evaluate
from tests.support.resolvers import RESOLVERS

KILL, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OWN_PID = 4242
EVERY_NUMBER = range(701)
HIGH = 1 << 32

# In the table, so that others can name them; the policy answers EPERM by not naming them.
UNNAMED = frozenset({"execve", "execveat", "fork", "vfork"})
NAMES = UNNAMED.union(
    policy.ALLOWED,
    policy.CHECKED,
    policy.ENOSYS_CALLS,
    policy.ENOTSOCK_CALLS,
    policy.ENOLCK_CALLS,
    policy.EOPNOTSUPP_CALLS,
    policy.EACCES_CALLS,
    policy.TRIPWIRES,
    policy.FAKED_WITHOUT_NAMESPACES,
    policy.SETTING_UP,
)

variants = pytest.mark.parametrize(
    "machine, namespaces", list(itertools.product(ARCH, (True, False)))
)


def program(machine: str, *, namespaces: bool) -> list[seccomp.Instruction]:
    return seccomp.program(own_pid=OWN_PID, namespaces=namespaces, machine=machine)


def strictness(answer: int) -> tuple[int, int]:
    """Order answers as the kernel does that gets one from each filter: the first is obeyed."""
    action = answer & 0xFFFF0000
    return action - (1 << 32 if action & 0x80000000 else 0), answer


def refused(number: int) -> int:
    return ERRNO | number


def resolved(source: str, machine: str) -> Mapping[str, int]:
    numbers = RESOLVERS[source](machine, NAMES)
    if numbers is None:
        pytest.skip(f"no {source} on this host for {machine}")
    return numbers


def verdict_of(name: str, *, namespaces: bool) -> int | None:
    """Return the policy's answer to a call; None where it depends on the arguments."""
    if name in policy.FAKED_WITHOUT_NAMESPACES and not namespaces:
        return refused(0)
    if name in policy.CHECKED:
        return None
    if name in policy.ALLOWED:
        return ALLOW
    if name in policy.TRIPWIRES:
        return KILL
    if name in policy.ENOSYS_CALLS:
        return refused(errno.ENOSYS)
    if name in policy.ENOTSOCK_CALLS:
        return refused(errno.ENOTSOCK)
    if name in policy.ENOLCK_CALLS:
        return refused(errno.ENOLCK)
    if name in policy.EOPNOTSUPP_CALLS:
        return refused(errno.EOPNOTSUPP)
    if name in policy.EACCES_CALLS:
        return refused(errno.EACCES)
    return refused(errno.EPERM)


@pytest.mark.parametrize("source", RESOLVERS)
@pytest.mark.parametrize("machine", ARCH)
def test_our_numbers_are_those_of_others(source: str, machine: str) -> None:
    theirs = resolved(source, machine)
    ours = NUMBERS[machine]
    assert {name: number for name, number in theirs.items() if ours.get(name) != number} == {}
    # What is missing there must be newer than that source.
    assert set(ours) - set(theirs) <= {"map_shadow_stack", "cachestat", "fchmodat2"}


@pytest.mark.parametrize("machine", ARCH)
def test_each_number_has_one_name(machine: str) -> None:
    assert len(set(NUMBERS[machine].values())) == len(NUMBERS[machine])
    assert set(NUMBERS[machine]) <= NAMES


def test_no_call_is_in_two_lists() -> None:
    lists = {
        "ALLOWED": policy.ALLOWED,
        "CHECKED": policy.CHECKED,
        "ENOSYS_CALLS": policy.ENOSYS_CALLS,
        "ENOTSOCK_CALLS": policy.ENOTSOCK_CALLS,
        "ENOLCK_CALLS": policy.ENOLCK_CALLS,
        "EOPNOTSUPP_CALLS": policy.EOPNOTSUPP_CALLS,
        "EACCES_CALLS": policy.EACCES_CALLS,
        "TRIPWIRES": policy.TRIPWIRES,
    }
    for (one, first), (other, second) in itertools.combinations(lists.items(), 2):
        assert not first & second, f"{one} and {other}"
    assert not policy.FAKED_WITHOUT_NAMESPACES & (policy.CHECKED | policy.TRIPWIRES)


@variants
@pytest.mark.parametrize("source", RESOLVERS)
def test_every_number_is_decided_as_the_policy_says(
    source: str, machine: str, namespaces: bool
) -> None:
    names = {number: name for name, number in resolved(source, machine).items()}
    code = program(machine, namespaces=namespaces)
    longest = 0
    for number in EVERY_NUMBER:
        name = names.get(number)
        expected = verdict_of(name, namespaces=namespaces) if name else refused(errno.EPERM)
        for arguments in ([0] * 6, [2**64 - 1] * 6):
            answer = evaluate(code, Call(number, ARCH[machine], arguments))
            longest = max(longest, answer.steps)
            if expected is not None:
                assert answer.value == expected, (number, name, hex(answer.value))
    print(f"{machine}, namespaces={namespaces}: {len(code)} instructions, longest path {longest}")
    assert longest <= 36
    assert len(code) <= 450


@variants
def test_program_passes_the_kernels_rules(machine: str, namespaces: bool) -> None:
    code = program(machine, namespaces=namespaces)
    check(code)
    assert seccomp.build(code) == b"".join(struct.pack("=HBBI", *one) for one in code)


@pytest.mark.parametrize("machine", ARCH)
def test_the_two_parts_together_answer_as_the_whole_does(machine: str) -> None:
    whole = program(machine, namespaces=True)
    parts = seccomp.parts(own_pid=OWN_PID, machine=machine)
    calls = [
        Call(NUMBERS[machine][name], ARCH[machine], arguments)
        for name, arguments, _ in ARGUMENT_RULES
    ]
    calls += [
        Call(number | x32, architecture, arguments)
        for number in (*EVERY_NUMBER, 0x3FFFFFFF, 0x80000000, 0xC0000000)
        for x32 in (0, 0x40000000)
        for architecture in (*ARCH.values(), 0x40000003)
        for arguments in ([0] * 6, [2**64 - 1] * 6)
    ]
    for call in calls:
        answers = [evaluate(part, call).value for part in parts]
        assert min(answers, key=strictness) == evaluate(whole, call).value, call


@pytest.mark.parametrize("machine", ARCH)
def test_the_first_part_leaves_only_what_sets_a_sandbox_up(machine: str) -> None:
    whole = program(machine, namespaces=True)
    first, last = seccomp.parts(own_pid=OWN_PID, machine=machine)
    for part in (first, last):
        check(part)
    setting_up = {NUMBERS[machine][name] for name in policy.SETTING_UP}
    for number, arguments in itertools.product(EVERY_NUMBER, ([0] * 6, [2**64 - 1] * 6)):
        call = Call(number, ARCH[machine], arguments)
        expected = ALLOW if number in setting_up else evaluate(whole, call).value
        assert evaluate(first, call).value == expected, number
    assert len(last) <= 64 < len(first)


@variants
def test_other_architectures_are_killed(machine: str, namespaces: bool) -> None:
    code = program(machine, namespaces=namespaces)
    others = {0x40000003, 0x40000028, 0, 0xFFFFFFFF, *ARCH.values()} - {ARCH[machine]}
    for architecture, number in itertools.product(others, EVERY_NUMBER):
        assert evaluate(code, Call(number, architecture)).value == KILL


@variants
def test_numbers_of_x32_are_killed(machine: str, namespaces: bool) -> None:
    code = program(machine, namespaces=namespaces)
    for number in (*EVERY_NUMBER, 0x3FFFFFFF, 0x40000000 - 1, 0x7FFFFFFF):
        assert evaluate(code, Call(0x40000000 | number, ARCH[machine])).value == KILL
    for number in (0x80000000, 0xFFFFFFFF, 0xC0000000):
        assert evaluate(code, Call(number, ARCH[machine])).value == KILL
    assert evaluate(code, Call(0x3FFFFFFF, ARCH[machine])).value == refused(errno.EPERM)


VM, THREAD, SIGHAND = 0x100, 0x10000, 0x800
GLIBC_THREAD = 0x3D0F00
MUSL_THREAD = 0x7D0F00
NEW = {
    "NEWTIME": 0x80,
    "NEWNS": 0x20000,
    "NEWCGROUP": 0x2000000,
    "NEWUTS": 0x4000000,
    "NEWIPC": 0x8000000,
    "NEWUSER": 0x10000000,
    "NEWPID": 0x20000000,
    "NEWNET": 0x40000000,
}
EPERM, ENOTTY = refused(errno.EPERM), refused(errno.ENOTTY)

# Numbers and constants are written out: a wrong constant in the filter must show.
ARGUMENT_RULES: Sequence[tuple[str, Sequence[int], int]] = (
    ("clone", [GLIBC_THREAD], ALLOW),
    ("clone", [MUSL_THREAD], ALLOW),
    ("clone", [VM | THREAD | SIGHAND], EPERM),
    *[
        ("clone", [GLIBC_THREAD & ~(1 << bit)], EPERM)
        for bit in range(32)
        if GLIBC_THREAD >> bit & 1
    ],
    # a signal at the end, PIDFD, PTRACE, VFORK, PARENT, UNTRACED, CHILD_SETTID, IO
    *[
        ("clone", [GLIBC_THREAD | flag], EPERM)
        for flag in (17, 0x1000, 0x2000, 0x4000, 0x8000, 0x800000, 0x1000000, 0x80000000)
    ],
    ("clone", [17], EPERM),
    ("clone", [0x1200011], EPERM),  # fork
    ("clone", [VM | 0x4000 | 17], EPERM),  # vfork
    ("clone", [THREAD], EPERM),
    ("clone", [VM], EPERM),
    *[("clone", [GLIBC_THREAD | flag], EPERM) for flag in NEW.values()],
    *[("clone", [flag | 17], EPERM) for flag in NEW.values()],
    *[("close_range", [4, 2**32 - 1, flags], ALLOW) for flags in (0, 4)],
    *[("close_range", [4, 9, flags], refused(errno.EINVAL)) for flags in (2, 6, 1, 8, 2**32 - 1)],
    ("socketpair", [1, 1, 0], ALLOW),
    ("socketpair", [1, 1 | 0x80000 | 0x800, 0], ALLOW),  # CLOEXEC, NONBLOCK
    *[("socketpair", [1, kind, 0], EPERM) for kind in (0, 2, 3, 4, 5, 10, 2 | 0x80000)],
    *[("socketpair", [family, 1, 0], EPERM) for family in (0, 2, 10, 16, 17, 38, 40)],
    ("sendto", [3, 9, 1, 0, 0, 0], ALLOW),
    ("sendto", [3, 9, 1, 0, 1, 16], EPERM),
    ("sendto", [3, 9, 1, 0, HIGH, 16], EPERM),
    ("sendto", [3, 9, 1, 0, 1 << 63, 16], EPERM),
    ("sendto", [3, 9, 1, 0, 0x7FFF_0000_1000, 16], EPERM),
    ("sendto", [3, 9, 1, 0x4040, 0, 0], ALLOW),  # NOSIGNAL, DONTWAIT
    *[("sendto", [3, 9, 1, flags, 0, 0], EPERM) for flags in (1, 0x41, 2**32 - 1)],  # OOB
    ("recvfrom", [3, 9, 1, 0x142, 0, 0], ALLOW),  # PEEK, DONTWAIT, WAITALL
    *[("recvfrom", [3, 9, 1, flags, 0, 0], EPERM) for flags in (1, 3, 2**32 - 1)],  # OOB
    *[("getsockopt", [3, 1, option], ALLOW) for option in (3, 4, 7, 8, 30, 38, 39)],
    # PEERCRED, PEERNAME, PEERSEC, PEERGROUPS, PEERPIDFD, MEMINFO, COOKIE, GET_FILTER
    *[
        ("getsockopt", [3, 1, option], refused(errno.ENOPROTOOPT))
        for option in (0, 17, 26, 28, 31, 55, 57, 59, 77, 2**32 - 1)
    ],
    *[("getsockopt", [3, level, 4], refused(errno.ENOPROTOOPT)) for level in (0, 6, 41, 282)],
    *[("futex", [0, 0x80 | command], ALLOW) for command in (0, 1, 3, 4, 5, 9, 10)],
    ("futex", [0, 0x80 | 0x100 | 9], ALLOW),  # PRIVATE, CLOCK_REALTIME
    # FD, LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_REQUEUE_PI, CMP_REQUEUE_PI, LOCK_PI2
    *[("futex", [0, command], refused(errno.ENOSYS)) for command in (2, 6, 7, 8, 11, 12, 13)],
    *[("futex", [0, 0x180 | command], refused(errno.ENOSYS)) for command in (6, 13, 127)],
    *[(call, [OWN_PID, 0, 0], ALLOW) for call in ("kill", "tgkill")],
    *[
        (call, [pid % 2**64, 0, 0], EPERM)
        for call in ("kill", "tgkill")
        for pid in (0, 1, -1, -OWN_PID, OWN_PID + 1, OWN_PID - 1, OWN_PID << 32)
    ],
    *[
        ("ioctl", [0, request], ALLOW)
        for request in (0x5401, 0x5421, 0x5450, 0x5451, 0x541B, 0x5413, 0x40049409)
    ],
    *[
        ("ioctl", [0, request], ENOTTY)
        for request in (0, 0x5402, 0x5412, 0x541C, 0x540E, 0x5423, 0x8912, 0x40046601, 0x4020940D)
    ],
    *[("fcntl", [0, command], ALLOW) for command in (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38)],
    *[("fcntl", [0, command], ALLOW) for command in (1030, 1032, 1033, 1034)],
    # SETOWN, SETSIG, SETOWN_EX, SETLEASE, NOTIFY, SETPIPE_SZ, RW hints
    *[("fcntl", [0, command], EPERM) for command in (8, 10, 15, 1024, 1026, 1031, 1036, 2**32 - 1)],
    *[("prctl", [option], ALLOW) for option in (3, 15, 16, 39, 0x53564D41)],
    # PDEATHSIG, DUMPABLE, KEEPCAPS, SECCOMP, CAPBSET, NO_NEW_PRIVS, MM, SUBREAPER, PTRACER
    *[
        ("prctl", [option], EPERM)
        for option in (1, 2, 4, 8, 22, 24, 28, 35, 36, 38, 47, 62, 0x59616D61)
    ],
    ("prlimit64", [0, 9, 0, 0], ALLOW),
    *[("prlimit64", [pid % 2**64, 9, 0, 0], EPERM) for pid in (1, 2, OWN_PID, -1)],
    ("setpriority", [0, 0, 19], ALLOW),
    ("setpriority", [1, 0, 19], EPERM),
    ("setpriority", [2, 0, 19], EPERM),
    ("setpriority", [0, 1, 19], EPERM),
    ("setpriority", [0, OWN_PID, 19], EPERM),
)


@variants
def test_arguments_decide_as_written(machine: str, namespaces: bool) -> None:
    code = program(machine, namespaces=namespaces)
    for name, arguments, expected in ARGUMENT_RULES:
        call = Call(NUMBERS[machine][name], ARCH[machine], arguments)
        answer = evaluate(code, call).value
        assert answer == expected, (name, [hex(word) for word in arguments], hex(answer))
    assert {name for name, _, _ in ARGUMENT_RULES} == policy.CHECKED


# Which words of a call the kernel itself reads as 32 bits, so that the filter need not look higher.
WIDE_ARGUMENTS = {"sendto": [4]}


@variants
def test_high_halves_turn_no_refusal_into_a_yes(machine: str, namespaces: bool) -> None:
    code = program(machine, namespaces=namespaces)
    for name, arguments, expected in ARGUMENT_RULES:
        for place in range(len(arguments)):
            words = list(arguments)
            words[place] |= 0xDEADBEEF << 32
            answer = evaluate(code, Call(NUMBERS[machine][name], ARCH[machine], words)).value
            if place in WIDE_ARGUMENTS.get(name, ()):
                assert answer == EPERM, (name, place)
            else:
                assert answer == expected, (name, place)


@variants
def test_only_the_own_process_can_be_signalled(machine: str, namespaces: bool) -> None:
    for own in (1, 77, 4_194_303):
        code = seccomp.program(own_pid=own, namespaces=namespaces, machine=machine)
        for pid in (1, 77, 4_194_303):
            answer = evaluate(code, Call(NUMBERS[machine]["kill"], ARCH[machine], [pid])).value
            assert answer == (ALLOW if pid == own else EPERM)


def test_other_machines_are_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match=r"'riscv64'; there are: x86_64, aarch64"):
        seccomp.program(own_pid=1, namespaces=True, machine="riscv64")


# uretprobe and uprobe of x86_64: Linux 6.14 and later lets no filter see them, and kills by
# SIGILL whoever is not the kernel's own trampoline.
UNFILTERED = {335, 336}

LIVE = """
import ctypes, json, os, sys
sys.path[:0] = json.loads(sys.argv[1])
from codemode.sandbox.lockdown import seccomp
from codemode.sandbox.syscalls import PR_SET_NO_NEW_PRIVS, prctl
refusals, tripwires = json.loads(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)

def child(numbers):
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        for part in seccomp.parts(own_pid=os.getpid()):
            seccomp.load(seccomp.build(part))
        heard = {}
        for number in [41, *numbers] if os.uname().machine == "x86_64" else [198, *numbers]:
            result = libc.syscall(*[ctypes.c_long(word) for word in (number, 0, 0, 0, 0, 0, 0)])
            heard[number] = ctypes.get_errno() if result < 0 else 0
            if len(heard) == 1 and heard[number] != 13:
                os._exit(9)  # the filter is dead: the rest would be done for real
        os.write(into, json.dumps(heard).encode())
        os._exit(0)
    os.close(into)
    with open(out) as pipe:
        said = pipe.read()
    return os.waitpid(pid, 0)[1], said

status, heard = child(refusals)
assert status == 0, f"wait status {status}"
print(json.dumps([status, json.loads(heard), {n: child([n])[0] for n in tripwires}]))
"""


@pytest.mark.skipif(platform.machine() not in ARCH, reason="no system call table for this machine")
def test_kernel_answers_as_the_interpreter_does() -> None:
    machine = platform.machine()
    code = seccomp.program(own_pid=1, namespaces=True, machine=machine)
    answers = {number: evaluate(code, Call(number, ARCH[machine])).value for number in EVERY_NUMBER}
    left_out = {NUMBERS[machine][name] for name in policy.CHECKED if name in NUMBERS[machine]}
    if machine == "x86_64":
        left_out |= UNFILTERED
    errors = {
        number: answer & 0xFFFF
        for number, answer in answers.items()
        if answer & 0xFFFF0000 == ERRNO and number not in left_out
    }
    tripwires = [number for number, answer in answers.items() if answer == KILL]
    folder = str(Path(codemode.__file__).parent.parent)
    done = subprocess.run(
        [
            *(sys.executable, "-S", "-c", LIVE),
            *(json.dumps([folder]), json.dumps([list(errors), tripwires])),
        ],
        capture_output=True,
        timeout=100,
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    status, heard, ends = json.loads(done.stdout)
    assert status == 0
    assert {int(number): answer for number, answer in heard.items()} == errors
    assert {int(number) for number in ends} == set(tripwires)
    assert {os.WTERMSIG(end) for end in ends.values()} == {signal.SIGSYS}
