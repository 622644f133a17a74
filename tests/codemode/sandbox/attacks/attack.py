"""The record of one attack, and how attacks become programs of the sandbox."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codemode import ExecutionResult

__all__ = ["MACHINE", "Attack", "batch", "outcome_of", "program"]

MACHINE = platform.machine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attempt of hostile code, and the outcome that it must have.

    ``code`` is the body of a function. What comes of it is a word: the name of
    the errno with which the system refuses, else the type of the exception,
    else the value as text; where the process does not survive, the type of the
    run's failure. Several acceptable words are separated by ``|``.

    ``expected`` holds in tier A, and in B and C unless ``lower`` says with
    which other word these refuse. ``gaps`` says what B or C do *not* stop: the
    word, by tier. ``alone`` asks for a process of its own; there a MemoryError ends the run.
    """

    number: int
    name: str
    code: str
    expected: str
    lower: str = ""
    gaps: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 60.0
    machine: str = ""

    @property
    def key(self) -> str:
        return f"{self.number}: {self.name}"

    @property
    def applies(self) -> bool:
        """Tell whether the attack exists on this machine's processor."""
        return self.machine in ("", MACHINE)

    def words(self, tier: str) -> frozenset[str]:
        """Return the words that are right in the tier."""
        words = self.gaps.get(tier) or (self.lower if tier != "A" else "") or self.expected
        return frozenset(words.split("|"))


_PRELUDE = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(name, *arguments):
    words = [a if isinstance(a, (bytes, ctypes.Array, ctypes._Pointer)) else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result

def tell(attempt):
    try:
        got = attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except MemoryError:
        raise
    except BaseException as error:
        return type(error).__name__
    return str(got)

def each(*attempts):
    return " ".join(dict.fromkeys(map(tell, attempts)))
"""

# name, x86_64, aarch64 (0: none). Written down here and not taken from the
# package, whose own table must not be what its tests rest on.
_NUMBERS = """
fork 57 0, vfork 58 0, clone 56 220, clone3 435 435, execve 59 221, execveat 322 281,
ptrace 101 117, process_vm_readv 310 270, kill 62 129, tkill 200 130, tgkill 234 131,
rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_open 434 434, unshare 272 97,
mount 165 40, setns 308 268, chroot 161 51, bpf 321 280, userfaultfd 323 282, keyctl 250 219,
add_key 248 217, perf_event_open 298 241, open_by_handle_at 304 265, personality 135 92,
io_uring_setup 425 425, setuid 105 146, prctl 157 167, mknodat 259 33, shmget 29 194,
semget 64 190, msgget 68 186, mq_open 240 180, sched_setscheduler 144 119,
sched_setaffinity 203 122, settimeofday 164 170, clock_settime 227 112, kexec_load 246 104,
init_module 175 105, reboot 169 142, memfd_create 319 279, memfd_secret 447 447,
openat2 437 437, getpid 39 172, socket 41 198, gettid 186 178, setpriority 141 140,
futex 202 98, tee 276 77, cachestat 451 451, close_range 436 436, flock 73 32
"""


def _numbers() -> dict[str, int]:
    rows = [entry.split() for entry in _NUMBERS.split(",")]
    column = 2 if MACHINE == "aarch64" else 1
    return {row[0]: int(row[column]) for row in rows if row[column] != "0"}


def program(attack: Attack) -> str:
    """Return the program of one attack in a process of its own."""
    return f"{_head()}\n{_function(attack, 'attack')}\nresult = tell(attack)\n"


def batch(attacks: Iterable[Attack]) -> str:
    """Return one program that makes many attacks, and tells what came of each by its key."""
    parts = [_head(), "result = {}"]
    for index, attack in enumerate(attacks):
        name = f"attack_{index}"
        parts += [_function(attack, name), f"result[{attack.key!r}] = tell({name})"]
    return "\n".join(parts)


def outcome_of(result: ExecutionResult) -> str:
    """Return the word that a run came to."""
    return str(result.value) if result.error is None else result.error.type


def _head() -> str:
    return f"NUMBERS = {_numbers()}\n{_PRELUDE}"


def _function(attack: Attack, name: str) -> str:
    return f"def {name}():\n{textwrap.indent(textwrap.dedent(attack.code).strip(), '    ')}\n"
