"""Sandboxes end with what made them, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil
import pytest

from codemode import ClientConfig, Codemode
from codemode.config import Tier
from codemode.core.events import ExecutionCompleted
from codemode.errors import ExecutorConnectionError
from tests.codemode.sandbox.attacks.battlefield import Bait, serving
from tests.support.hosts import needs_tier
from tests.support.paths import ROOT
from tests.support.processes import descendants, is_running, open_descriptors, wait_until


@contextlib.contextmanager
def hosted(tier: Tier, *without: str) -> Iterator[tuple[int, str]]:
    """Give the process id and the address of an executor that may be killed."""
    with tempfile.TemporaryDirectory(prefix="cm-test-") as folder:
        Path(folder).chmod(0o711)
        host = subprocess.Popen(
            [sys.executable, "-m", "tests.codemode.sandbox.attacks.host", tier, *without],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # What a killed executor cannot remove goes with the test.
            env={**os.environ, "TMPDIR": folder},
        )
        assert host.stdin is not None
        assert host.stdout is not None
        try:
            yield host.pid, host.stdout.readline().strip()
        finally:
            host.stdin.close()
            host.wait(60)
            host.stdout.close()


Killed = Literal["executor", "guardian", "zygote", "both"]


def victim_of(executor: int, killed: Killed) -> int:
    """Return the process to kill; the guardian is the first below the executor in tier A."""
    if killed == "executor":
        return executor
    (top,) = psutil.Process(executor).children()
    return top.children()[0].pid if killed == "zygote" and _is_guardian(top) else top.pid


def _is_guardian(process: psutil.Process) -> bool:
    return len(process.children()) == 1 and len(process.children()[0].children()) > 0


def outlive(tier: Tier, killed: Killed, *without: str, expected: int = 0) -> list[int]:
    """Kill a process while code runs; return the sandboxes that live on.

    They are given time to become as few as ``expected``, and those a second more.
    """
    with (
        hosted(tier, *without) as (executor, url),
        Codemode.from_client_config(ClientConfig(executor_url=url)) as codemode,
    ):
        code = "import time\nprint(1, flush=True)\ntime.sleep(600)"
        events = iter(codemode.stream(code, execution_timeout=600))
        next(events), next(events)
        below = descendants(executor)
        assert len(below) >= 3
        if killed == "both":
            zygote = victim_of(executor, "zygote")
            os.kill(zygote, signal.SIGSTOP)  # it would kill its children
            os.kill(executor, signal.SIGKILL)
            os.kill(zygote, signal.SIGKILL)
        else:
            os.kill(victim_of(executor, killed), signal.SIGKILL)
        wait_until(lambda: sum(map(is_running, below)) <= expected)
        if expected:
            time.sleep(1)
        left = [pid for pid in below if is_running(pid)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ExecutorConnectionError):
            *_, last = events
            assert isinstance(last, ExecutionCompleted)
            assert last.result.status == "crashed"
    return left


@pytest.mark.parametrize("killed", ["executor", "guardian", "zygote", "both"])
def test_no_child_outlives_what_made_it(tier: Tier, killed: Killed) -> None:
    if killed == "guardian" and tier != "A":
        pytest.skip("only tier A has a guardian")
    assert outlive(tier, killed) == []


def test_pid_namespace_ends_children_that_do_not_watch_their_zygote() -> None:
    needs_tier("A")
    assert outlive("A", "executor", "die_with_zygote") == []


@pytest.mark.parametrize("lower", ["B", "C"])
def test_child_that_does_not_watch_its_zygote_outlives_it(lower: Tier) -> None:
    needs_tier(lower)
    assert len(outlive(lower, "both", "die_with_zygote", expected=1)) == 1


_TRICKS = """
import os
os.symlink(FOLDER, 'folder')
os.symlink(FILE, 'file')
os.symlink('..', 'up')
os.mkdir('deep')
os.symlink(FOLDER, 'deep/folder')
os.mkdir('shut')
open('shut/file', 'x').close()
os.chmod('shut', 0)
os.mkdir(b'\\xff\\n*')
try:
    os.link(FILE, 'linked')
except OSError:
    pass
top = os.getcwd()
try:
    for _ in range(2000):
        os.mkdir('d')
        os.chdir('d')
except OSError:
    pass  # a /tmp of one's own has room for fewer
os.chdir(top)
result = top
"""


@pytest.mark.deep
def test_cleaning_up_follows_no_link(tier: Tier) -> None:
    async def play() -> list[str]:
        async with serving(tier) as (codemode, _):
            with Bait() as bait:
                (bait.folder / "more").mkdir()
                (bait.folder / "more" / "file").write_text("more")
                result = await codemode.run_async(_TRICKS, inputs=bait.inputs())
                assert result.error is None
                folder = Path(str(result.value))
                if tier != "A":
                    # Thousands of folders: a slow disk takes a while.
                    async with asyncio.timeout(60):
                        while folder.exists():
                            await asyncio.sleep(0.05)
                assert (bait.folder / "more" / "file").read_text() == "more"
                (bait.folder / "more" / "file").unlink()
                (bait.folder / "more").rmdir()
                return bait.hits()

    assert asyncio.run(play()) == []


_HEAP = """
import os
for index in range(30_000):
    os.close(os.open(str(index), os.O_CREAT | os.O_WRONLY))
"""


@pytest.mark.deep
def test_cleaning_up_holds_up_nobody(tier: Tier) -> None:
    """Measure how long the executor's loop does nothing else while many files are removed."""

    async def longest_pause() -> float:
        pauses = [0.0]

        async def watch() -> None:
            while True:
                # What this thread works, however busy the machine is.
                began = time.thread_time()
                await asyncio.sleep(0.002)
                pauses.append(time.thread_time() - began)

        async with serving(tier, pool_size=1) as (codemode, _):
            watching = asyncio.create_task(watch())
            await codemode.run_async(_HEAP, execution_timeout=100)
            await asyncio.sleep(1)
            watching.cancel()
        return max(pauses)

    assert asyncio.run(longest_pause()) < 0.15


_LITTER = """
import threading
open('x', 'w').write('x')
threading.Thread(target=print).start()
"""


def namespaces() -> int:
    """Return how many mount namespaces the processes of this machine are in."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                found.add((process / "ns" / "mnt").readlink())
    return len(found)


@pytest.mark.parametrize("runs", [40, pytest.param(500, marks=pytest.mark.deep)])
def test_five_hundred_runs_leave_nothing(
    tier: Tier, runs: int, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count what there is before and after; the idle children are there each time."""
    others = set(descendants(os.getpid()))  # such as of executors that tests share

    def below() -> list[int]:
        return [pid for pid in descendants(os.getpid()) if pid not in others]

    def count(server_pids: list[int]) -> dict[str, object]:
        return {
            "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
            "processes": len(below()),
            "descriptors": [open_descriptors(pid) for pid in (os.getpid(), *server_pids)],
            "folders": sum(1 for work in work_folders() for _ in work.iterdir()),
        }

    def work_folders() -> list[Path]:
        return list(short_folder.glob("codemode-sandboxes-*"))

    async def settled(pids: list[int], wanted: dict[str, object] | None) -> dict[str, object]:
        """Count when the pool is full again and nothing has changed for a second."""
        zygote = psutil.Process(pids[-1])
        now, same = count(pids), 0
        for _ in range(1200):
            await asyncio.sleep(0.05)
            before, now = now, count(pids)
            full = len(zygote.children()) == 4
            same = same + 1 if full and now == before else 0
            if now == wanted or (wanted is None and same == 20):
                break
        return now

    async def soak() -> None:
        async with serving(tier, pool_size=4) as (codemode, _):
            pids = below()[: 2 if tier == "A" else 1]
            await asyncio.gather(*(codemode.run_async(_LITTER) for _ in range(8)))
            before = await settled(pids, None)
            for _ in range(0, runs, 20):
                results = await asyncio.gather(*(codemode.run_async(_LITTER) for _ in range(20)))
                assert all(result.ok for result in results)
            assert await settled(pids, before) == before

    spaces = namespaces()
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    asyncio.run(soak())
    assert list(short_folder.iterdir()) == []
    # Others may start namespaces of their own meanwhile; 40 leaked ones would be seen.
    assert namespaces() < spaces + 20
