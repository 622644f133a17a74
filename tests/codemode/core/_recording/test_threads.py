"""Threads that share nothing of their own: what they print, draw, name and give comes again."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from codemode import Codemode, ExecutionResult, Recording, tool

_REPLAYS = 4


@pytest.fixture(autouse=True)
def fetch(codemode: Codemode) -> None:
    """Give the threads a tool that ends in another order each time."""

    @tool(thread_sensitive=False)
    def fetch(n: int) -> int:
        time.sleep(random.choice((0, 0.002, 0.004, 0.008)))
        return n

    codemode.registry.register_tool("fetch", fetch)


def _shown(result: ExecutionResult) -> Any:
    files = [(one.name, one.data) for one in result.artifacts]
    return result.value, result.stdout, result.stderr, files


def _comes_again(codemode: Codemode, elsewhere: Codemode, code: str) -> ExecutionResult:
    """Check that a run, and what goes on from its cuts, is the same in each replay."""
    recording = Recording()
    first = codemode.run(code, recording=recording)
    assert first.ok, first
    for _ in range(_REPLAYS):
        kept = Recording.from_bytes(recording.to_bytes())
        again = elsewhere.run(code, recording=kept)
        assert again.ok, again
        assert _shown(again) == _shown(first)
        assert kept.to_bytes() == recording.to_bytes()
        cut = Recording.from_bytes(recording.cut(after=len(recording.calls) - 2).to_bytes())
        resumed = elsewhere.run(code, recording=cut)
        assert resumed.ok, resumed
        again = elsewhere.run(code, recording=cut)
        assert _shown(again) == _shown(resumed)
        assert sorted(resumed.stdout) == sorted(first.stdout)
        assert resumed.value == first.value
    return first


STARTS = {
    "to_thread": "await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(4)))",
    "pool": "with ThreadPoolExecutor(3) as pool: seen = list(pool.map(work, range(5)))\nseen",
    "Thread": "threads = [threading.Thread(target=lambda n=n: seen.append((n, work(n)))) for n in range(4)]\n"
    "[one.start() for one in threads]; [one.join() for one in threads]\nsorted(seen)",
}
HEAD = "import asyncio, logging, sys, threading\nfrom concurrent.futures import ThreadPoolExecutor\nseen = []\n"
PRINTS = {
    "print": 'print("start", n)\n    fetch(n)\n    print("end", n)',
    "stderr": 'fetch(n)\n    print("error", n, file=sys.stderr)\n    print("end", n)',
    "logging": 'logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")\n'
    '    fetch(n)\n    logging.info("end %s", n)',
    "long": "fetch(n)\n    print(str(n) * 20_000)",
    "files": 'fetch(n)\n    open(f"{n}.txt", "w").write(str(n))\n    artifact(f"{n}.txt")',
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("prints", PRINTS.values(), ids=PRINTS)
def test_output_and_files_of_joined_threads_come_again(
    codemode: Codemode, elsewhere: Codemode, prints: str, start: str
) -> None:
    """Byte for byte, in the order of the record, also where a resumed run goes on."""
    code = f"{HEAD}def work(n):\n    {prints}\n{start}"
    first = _comes_again(codemode, elsewhere, code)
    assert first.stdout or first.stderr or first.artifacts


def test_output_of_a_thread_that_differs_diverges(codemode: Codemode, elsewhere: Codemode) -> None:
    code = f"{HEAD}def work(n):\n    {PRINTS['print']}\n{STARTS['pool']}"
    recording = Recording()
    assert codemode.run(code, recording=recording).ok
    for other in (code.replace('"end", n', '"end", n % 4'), code.replace('print("end", n)', "")):
        again = elsewhere.run(other, recording=Recording.from_bytes(recording.to_bytes()))
        assert again.status == "diverged", again
        assert again.error is not None
        assert "its stdout was" in again.error.message


def test_the_traceback_of_a_thread_is_printed_by_its_line(
    codemode: Codemode, elsewhere: Codemode
) -> None:
    code = f"{HEAD}def work(n):\n    fetch(n)\n    print(1 / 0)\n{STARTS['Thread']}"
    assert "ZeroDivisionError" in _comes_again(codemode, elsewhere, code).stderr
