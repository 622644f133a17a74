"""Tests of the limits that the guest sets on itself, and of running out of memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome, tool
from tests.support.marks import deep_except

MIB = 1024 * 1024
TOOLS = [tool("big", "big()"), tool("slow", "slow()", asynchronous=True)]


def run(forker: Forker, code: str, **limits: Any) -> Outcome:
    with Guest(forker, TOOLS, lambda *_: "x" * 12_000_000, **limits) as guest:
        return guest.run(code)


@pytest.mark.parametrize(
    "code",
    deep_except(
        [
            "x = bytearray(400 * 2**20)",
            "x = 'x' * 10**10",
            "x = []\nwhile True: x.append(bytearray(2**20))",
            "x = {}\nwhile True: x[len(x)] = {}",
            "x = []\nwhile True: x.append([])",
            "def f():\n    x = {}\n    while True: x[len(x)] = str(len(x))\nf()",
            "class Node:\n    def __init__(self, next): self.next = next\nx = None\nwhile True: x = Node(x)",
            "async def f():\n    x = []\n    while True: x.append({})\nawait f()",
            "import threading\nthreading.stack_size(64 * 2**20)\nx = []\nwhile True: x.append(bytearray(100))",
            "x = list(range(10**10))",
            "result = 'x' * (60 * 2**20)\ny = [result.upper(), result.lower(), result.title(), result * 4]",
        ],
        "x = bytearray(400 * 2**20)",
        "x = []\nwhile True: x.append([])",
        "x = list(range(10**10))",
    ),
)
def test_memory_bomb_ends_as_memory_limit(forker: Forker, code: str) -> None:
    with Guest(forker, TOOLS, lambda *_: None) as guest:
        outcome = guest.run(f"print('before')\n{code}")
        assert (outcome.type, outcome.exited) == ("MemoryLimit", False), outcome
        assert "memory" in outcome.message
        assert outcome.stdout.startswith("before\n")
        assert guest.wait() == 0


def test_memory_error_can_be_caught(forker: Forker) -> None:
    code = "try:\n    x = bytearray(2**30)\nexcept MemoryError:\n    x = None\n'went on'"
    assert run(forker, code).value == "went on"


def test_answers_that_do_not_fit_are_a_memory_limit(forker: Forker) -> None:
    outcome = run(forker, "x = []\nwhile True: x.append(big())", memory_bytes=64 * MIB)
    assert outcome.type == "MemoryLimit"


def test_answers_for_coroutines_that_do_not_fit_are_a_memory_limit(forker: Forker) -> None:
    code = "import asyncio\nawait asyncio.gather(*(slow() for _ in range(40)))"
    assert run(forker, code, memory_bytes=64 * MIB).type == "MemoryLimit"


def test_session_goes_on_after_a_memory_limit(forker: Forker) -> None:
    with Guest(forker, TOOLS, lambda *_: None, session=True) as guest:
        assert guest.run("x = []\nwhile True: x.append({})").type == "MemoryLimit"
        assert guest.run("del x\n1 + 1").value == 2
        assert guest.run("y = {}\nwhile True: y[len(y)] = []").type == "MemoryLimit"
        assert guest.run("del y\n1 + 2").value == 3


def test_limits_are_the_runs_own_and_cannot_be_raised(forker: Forker) -> None:
    code = (
        "import resource as r\n"
        "names = ('RLIMIT_NOFILE', 'RLIMIT_FSIZE', 'RLIMIT_CPU', 'RLIMIT_CORE')\n"
        "limits = {n: list(r.getrlimit(getattr(r, n))) for n in names}\n"
        "soft, hard = r.getrlimit(r.RLIMIT_AS)\n"
        "limits['spare'] = hard - soft\nlimits"
    )
    limits = run(forker, code, open_files=32, disk_bytes=MIB, cpu_seconds=7).value
    assert limits == {
        "RLIMIT_NOFILE": [32, 32],
        "RLIMIT_FSIZE": [MIB, MIB],
        "RLIMIT_CPU": [7, 7],
        "RLIMIT_CORE": [0, 0],
        "spare": 32 * MIB,
    }


def test_limit_above_the_hard_limit_stays_below_it() -> None:
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 50))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"
        "from codemode.sandbox.lockdown.run_limits import lower\n"
        "lower({'memory_bytes': 2**40, 'cpu_seconds': 0.5, 'open_files': 999, 'disk_bytes': 1, 'threads': None}, raw_memory_base=5)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"(50, 50) ({2**29}, {2**29}) (1, 1)\n"


def test_memory_base_may_be_given_where_proc_is_missing() -> None:
    code = (
        "import resource\nfrom codemode.sandbox.lockdown.run_limits import lower\n"
        "lower({'memory_bytes': 2**30, 'cpu_seconds': 5, 'open_files': 64, 'disk_bytes': 1, 'threads': None}, raw_memory_base=2**28)\n"
        "print(resource.getrlimit(resource.RLIMIT_AS))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    soft = 2**30 + 2**28
    assert done.stdout == f"({soft}, {soft + 32 * MIB})\n"


def test_busy_loop_is_killed_at_the_cpu_limit(forker: Forker) -> None:
    code = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    with Guest(forker, TOOLS, lambda *_: None, cpu_seconds=1) as guest:
        assert guest.run(code).exited
        assert guest.wait() == -signal.SIGKILL


def test_too_large_file_is_an_os_error(forker: Forker) -> None:
    code = "import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'x' * 3_000_000)\n    f.flush()"
    outcome = run(forker, code, disk_bytes=MIB)
    assert outcome.type == "OSError"
    assert "File too large" in outcome.message


def test_too_many_open_files_is_an_os_error(forker: Forker) -> None:
    outcome = run(forker, "x = [open('/dev/null') for _ in range(100)]")
    assert outcome.type == "OSError"
    assert "Too many open files" in outcome.message
