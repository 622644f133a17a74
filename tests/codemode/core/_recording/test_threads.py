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
    "logging": 'logging.basicConfig(level="INFO", format="%(asctime)s %(message)s %(threadName)s %(taskName)s")\n'
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


DRAWS = {
    "random": "[random.random(), random.choice(range(99)), random.gauss(), random.getrandbits(70)]",
    "samples": "[random.sample(range(1000), 3), random.randbytes(5), random.Random().random()]",
    "seeded": "[random.seed(n), random.random(), random.setstate(random.getstate()), random.random()]",
    "imported": "[choice(range(1000)), draw()]",
    "secrets": "[secrets.token_hex(4), secrets.choice(range(99)), os.urandom(3)]",
    "uuid": "[str(one) for one in (uuid.uuid1(), uuid.uuid1(), uuid.uuid4(), uuid.uuid1(clock_seq=1))]",
    "node": "[uuid.getnode()]",
    "newer uuids": "[str(getattr(uuid, name)()) for name in ('uuid6', 'uuid7') if hasattr(uuid, name)]",
    "temporary names": "[os.path.basename(name) for name in (tempfile.mkdtemp(), tempfile.mktemp(), tempfile.NamedTemporaryFile().name)]",
    "message ids": "[email.utils.make_msgid().split('.')[2], email.mime.multipart.MIMEMultipart(_subparts=[]).as_string()]",
    "clock": "[time.time(), time.monotonic(), time.thread_time(), datetime.datetime.now()]",
    "name of the thread": "[threading.current_thread().name]",
    "names of threads": "[threading.Thread(target=print).name, threading.Timer(1, print).name]",
    "names of pools": "list(ThreadPoolExecutor(2).map(lambda _: threading.current_thread().name, range(3)))",
    "names of tasks": "[asyncio.run(names()), asyncio.run(names())]",
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("draws", DRAWS.values(), ids=DRAWS)
def test_what_joined_threads_draw_and_name_comes_again(
    codemode: Codemode, elsewhere: Codemode, draws: str, start: str
) -> None:
    code = f"""{HEAD}
import datetime, email.mime.multipart, email.utils, os, random, secrets, tempfile, time, uuid
from random import choice, random as draw
async def names():
    return [asyncio.current_task().get_name(), asyncio.create_task(asyncio.sleep(0)).get_name()]
def work(n):
    before = {draws}
    fetch(n)
    return before, {draws}
{start}"""
    _comes_again(codemode, elsewhere, code)


def test_lines_draw_otherwise_than_each_other(codemode: Codemode) -> None:
    """As the functions of one generator would, and those of the main line go on."""
    code = f"{HEAD}import random, uuid\ndef work(n):\n    return random.random(), uuid.uuid1()\n"
    code += f"drawn = [work(0), work(0), *{STARTS['to_thread']}]\n{STARTS['pool'].replace('seen', 'more')}"
    result = codemode.run(f"{code}\n[*drawn, *more]", recording=Recording())
    assert result.ok, result
    assert len(set(result.value)) == len({one for one, _ in result.value}) == 11


def test_callbacks_of_work_come_again(codemode: Codemode, elsewhere: Codemode) -> None:
    """Whichever thread calls back: that of the work, or the one that adds the callback."""
    code = f"""{HEAD}import random
def ended(n, work):
    print("ended", n, random.random(), fetch(n))
with ThreadPoolExecutor(3) as pool:
    for n in range(5):
        pool.submit(fetch, n).add_done_callback(lambda work, n=n: ended(n, work))
        work = pool.submit(abs, n)
        work.result()
        work.add_done_callback(lambda work, n=n: ended(-n, work))
"""
    for _ in range(3):
        assert "ended" in _comes_again(codemode, elsewhere, code).stdout


def test_output_of_threads_that_are_still_at_work_does_not_go_on(
    codemode: Codemode, elsewhere: Codemode
) -> None:
    """In a replay they may come further than they had by the end of the run."""
    code = f"""{HEAD}import time
def work():
    for n in range(10_000):
        print(n)
        time.sleep(0.0001 if n % 2 else 0)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.01)
print("main")"""
    recording = Recording()
    first = codemode.run(code, recording=recording)
    again = elsewhere.run(code, recording=Recording.from_bytes(recording.to_bytes()))
    assert again.ok, again
    assert again.stdout == first.stdout


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
