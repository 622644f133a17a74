"""The system call filter: a classic BPF program made from the policy.

Loading a program takes the kernel long. When all children have the same
program, it is therefore loaded in two parts. The zygote loads nearly all of it
once. Each child loads the few instructions that refuse the calls which the
zygote and the lock-down need. The kernel runs both parts and obeys the stricter
answer. The layout of ``struct seccomp_data`` and the constants are those of
linux/seccomp.h, linux/filter.h and linux/audit.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import termios
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from codemode.sandbox.lockdown import policy
from codemode.sandbox.lockdown.syscall_numbers import NUMBERS
from codemode.sandbox.syscalls import syscall

__all__ = ["ARCHITECTURES", "Instruction", "build", "load", "parts", "program"]

ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

KILL = 0x80000000
ALLOW = 0x7FFF0000
ERRNO = 0x00050000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_FARTHEST_JUMP = 255  # of a conditional jump; an unconditional jump has no such limit

_NUMBER_AT = 0
_ARCHITECTURE_AT = 4
_ARGUMENTS_AT = 16
_X32_BIT = 0x40000000

_SECCOMP_SET_MODE_FILTER = 1
_FILTER_FLAG_SPEC_ALLOW = 4

# VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID: exactly the flags
# with which glibc and musl create threads. A thread without CLONE_FILES would have a descriptor
# table of its own, and each such table has its own limit.
_CLONE_FOR_THREADS = 0x003D0F00
_CLONE_DETACHED = 0x00400000  # has no effect; musl sets it
_CLOSE_RANGE_FLAGS = (0, 4)  # 4 is CLOEXEC; not 2, UNSHARE, which also creates such a table

_FICLONE = 0x40049409  # allowed: pathlib expects the file system's own error if it cannot clone
_IOCTLS = (
    _FICLONE,
    termios.TCGETS,
    termios.FIONBIO,
    termios.FIOCLEX,
    termios.FIONCLEX,
    termios.FIONREAD,
    termios.TIOCGWINSZ,
)
_FCNTLS = (
    fcntl.F_DUPFD,
    fcntl.F_GETFD,
    fcntl.F_SETFD,
    fcntl.F_GETFL,
    fcntl.F_SETFL,
    fcntl.F_GETLK,
    fcntl.F_SETLK,
    fcntl.F_SETLKW,
    fcntl.F_OFD_GETLK,
    fcntl.F_OFD_SETLK,
    fcntl.F_OFD_SETLKW,
    fcntl.F_DUPFD_CLOEXEC,
    fcntl.F_GETPIPE_SZ,
    fcntl.F_ADD_SEALS,
    fcntl.F_GET_SEALS,
)
# PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS, PR_SET_VMA
_PRCTLS = (15, 16, 3, 39, 0x53564D41)

# WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET: the operations that locks
# need. Not the operations with priority inheritance, which have led to more than one kernel
# exploit.
_FUTEX_OPERATIONS = (0, 1, 3, 4, 5, 9, 10)
_FUTEX_COMMAND = 0x7F  # without the flags PRIVATE and CLOCK_REALTIME
# The options of SOL_SOCKET that Python itself reads. Not those of the peer: SO_PEERPIDFD would
# return a descriptor of the executor's process.
_SOCKET_OPTIONS = (
    socket.SO_TYPE,
    socket.SO_ERROR,
    socket.SO_SNDBUF,
    socket.SO_RCVBUF,
    socket.SO_ACCEPTCONN,
    socket.SO_PROTOCOL,
    socket.SO_DOMAIN,
)

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant"""

_REFUSED: tuple[Instruction, ...] = ((_RETURN, 0, 0, ERRNO | errno.EPERM),)


@dataclass(frozen=True, slots=True)
class _Word:
    """A condition on one 32-bit half of an argument: masked, it equals one of ``values``."""

    argument: int
    values: Sequence[int]
    mask: int = 0xFFFFFFFF
    high: bool = False


def build(instructions: Iterable[Instruction]) -> bytes:
    """Return a program in the kernel's binary format."""
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)


def program(*, own_pid: int, namespaces: bool, machine: str | None = None) -> list[Instruction]:
    """Return the filter's instructions. Raises NotImplementedError for other machines.

    ``own_pid`` is the only process that may be signalled. Without
    ``namespaces``, calls that Landlock does not cover are answered with success
    and not carried out.
    """
    machine = _known(machine)
    return _whole(machine, _verdicts(NUMBERS[machine], own_pid, namespaces))


def parts(
    *, own_pid: int, machine: str | None = None
) -> tuple[list[Instruction], list[Instruction]]:
    """Return the filter with namespaces in two parts; the first still lets children start."""
    machine = _known(machine)
    numbers = NUMBERS[machine]
    verdicts = _verdicts(numbers, own_pid, namespaces=True)
    setting_up = [numbers[name] for name in policy.SETTING_UP]
    later = {number: verdicts.get(number, _REFUSED) for number in setting_up}
    first = _whole(machine, verdicts | dict.fromkeys(setting_up, _answer(ALLOW)))
    return first, [(_LOAD, 0, 0, _NUMBER_AT), *_search(_ranges(later, _answer(ALLOW)))]


def _known(machine: str | None) -> str:
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise NotImplementedError(
            f"there is no system call table for {machine!r}; there are: {', '.join(ARCHITECTURES)}"
        )
    return machine


def _whole(machine: str, verdicts: Mapping[int, tuple[Instruction, ...]]) -> list[Instruction]:
    head: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, KILL),
    ]
    return head + _search(_ranges(verdicts, _REFUSED))


def load(filter_bytes: bytes) -> None:
    """Load a program permanently into this thread and all it forks. Raises OSError.

    Needs no_new_privs, or CAP_SYS_ADMIN.
    """
    # No ctypes arrays: each length would create a new type here, in every child.
    address = ctypes.c_void_p.from_buffer(ctypes.c_char_p(filter_bytes)).value
    sock_fprog = struct.pack("HxxxxxxQ", len(filter_bytes) // 8, address)
    syscall("seccomp", _SECCOMP_SET_MODE_FILTER, _FILTER_FLAG_SPEC_ALLOW, sock_fprog)


def _verdicts(
    numbers: Mapping[str, int], own_pid: int, namespaces: bool
) -> dict[int, tuple[Instruction, ...]]:
    """Return the instructions that decide each named call, by its number."""
    checks = _checks(own_pid)
    verdicts: dict[str, tuple[Instruction, ...]] = {}
    verdicts |= dict.fromkeys(policy.ALLOWED, _answer(ALLOW))
    verdicts |= dict.fromkeys(policy.ENOSYS_CALLS, _answer(ERRNO | errno.ENOSYS))
    verdicts |= dict.fromkeys(policy.ENOTSOCK_CALLS, _answer(ERRNO | errno.ENOTSOCK))
    verdicts |= dict.fromkeys(policy.ENOLCK_CALLS, _answer(ERRNO | errno.ENOLCK))
    verdicts |= dict.fromkeys(policy.EOPNOTSUPP_CALLS, _answer(ERRNO | errno.EOPNOTSUPP))
    verdicts |= dict.fromkeys(policy.EACCES_CALLS, _answer(ERRNO | errno.EACCES))
    verdicts |= dict.fromkeys(policy.TRIPWIRES, _answer(KILL))
    verdicts |= {name: _guarded(*checks[name]) for name in policy.CHECKED}
    if not namespaces:
        verdicts |= dict.fromkeys(policy.FAKED_WITHOUT_NAMESPACES, _answer(ERRNO | 0))
    return {numbers[name]: code for name, code in verdicts.items() if name in numbers}


def _checks(own_pid: int) -> dict[str, tuple[list[_Word], int]]:
    """Return the conditions on the arguments of each checked call, and the errno otherwise."""
    own = [_Word(0, (own_pid,))]
    # No out-of-band bytes: they are not needed, and the kernel's code for them has had holes.
    not_urgent = _Word(3, (0,), mask=socket.MSG_OOB)
    return {
        # Threads, but no processes and no namespaces.
        "clone": (
            [_Word(0, (_CLONE_FOR_THREADS,), mask=0xFFFFFFFF & ~_CLONE_DETACHED)],
            errno.EPERM,
        ),
        "close_range": ([_Word(2, _CLOSE_RANGE_FLAGS)], errno.EINVAL),
        # The pair that asyncio makes; a datagram socket could send to the path of any socket.
        "socketpair": (
            [_Word(0, (socket.AF_UNIX,)), _Word(1, (socket.SOCK_STREAM,), mask=0xF)],
            errno.EPERM,
        ),
        "sendto": ([_Word(4, (0,)), _Word(4, (0,), high=True), not_urgent], errno.EPERM),
        "recvfrom": ([not_urgent], errno.EPERM),
        "getsockopt": (
            [_Word(1, (socket.SOL_SOCKET,)), _Word(2, _SOCKET_OPTIONS)],
            errno.ENOPROTOOPT,
        ),
        "futex": ([_Word(1, _FUTEX_OPERATIONS, mask=_FUTEX_COMMAND)], errno.ENOSYS),
        "kill": (own, errno.EPERM),
        "tgkill": (own, errno.EPERM),
        "ioctl": ([_Word(1, _IOCTLS)], errno.ENOTTY),
        "fcntl": ([_Word(1, _FCNTLS)], errno.EPERM),
        "prctl": ([_Word(0, _PRCTLS)], errno.EPERM),
        "prlimit64": ([_Word(0, (0,))], errno.EPERM),
        # PRIO_USER would renice every process of the user.
        "setpriority": ([_Word(0, (os.PRIO_PROCESS,)), _Word(1, (0,))], errno.EPERM),
    }


def _answer(action: int) -> tuple[Instruction, ...]:
    return ((_RETURN, 0, 0, action),)


def _guarded(words: Sequence[_Word], number: int) -> tuple[Instruction, ...]:
    """Return instructions that allow a call if all conditions hold."""
    code: list[Instruction] = []
    for word in words:
        code.append((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * word.argument + (4 if word.high else 0)))
        if word.mask != 0xFFFFFFFF:
            code.append((_AND, 0, 0, word.mask))
        last = len(word.values) - 1
        for index, value in enumerate(word.values):
            # A match skips the rest of the values and the refusal after them.
            code.append((_EQUAL, last - index + 1, 0, value & 0xFFFFFFFF))
        code.append((_RETURN, 0, 0, ERRNO | number))
    return (*code, (_RETURN, 0, 0, ALLOW))


def _ranges(
    verdicts: Mapping[int, tuple[Instruction, ...]], default: tuple[Instruction, ...]
) -> list[tuple[int, tuple[Instruction, ...]]]:
    """Return (first number, instructions) for ranges of numbers with the same instructions."""
    ranges: list[tuple[int, tuple[Instruction, ...]]] = []
    for number in range(max(verdicts) + 2):
        code = verdicts.get(number, default)
        if not ranges or ranges[-1][1] != code:
            ranges.append((number, code))
    return ranges


def _search(ranges: Sequence[tuple[int, tuple[Instruction, ...]]]) -> list[Instruction]:
    """Return a binary search over the ranges, for the number in the accumulator."""
    if len(ranges) == 1:
        return list(ranges[0][1])
    middle = len(ranges) // 2
    lower, upper = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(lower) <= _FARTHEST_JUMP:
        return [(_AT_LEAST, len(lower), 0, first), *lower, *upper]
    return [(_AT_LEAST, 0, 1, first), (_JUMP, 0, 0, len(lower)), *lower, *upper]
