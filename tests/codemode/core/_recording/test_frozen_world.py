"""Clock, randomness and hashes of a recorded run come again in another executor, and what does not."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from codemode import Codemode, ExecutionResult, Recording

SAME = {
    # The clock.
    "time": "import time\n[time.time(), time.time_ns(), time.monotonic(), time.monotonic_ns()]",
    "perf_counter": "import time\n[time.perf_counter(), time.perf_counter_ns(), time.process_time()]",
    "names of time": "from time import time as now, monotonic\n[now(), monotonic()]",
    "parts of time": "import time\n[time.localtime()[:], time.gmtime()[:], time.ctime(), time.strftime('%c')]",
    "clock_gettime": "import time\n[time.clock_gettime(time.CLOCK_REALTIME), time.clock_gettime_ns(time.CLOCK_MONOTONIC)]",
    "datetime": "import datetime as d\n[d.datetime.now(), d.datetime.now(d.UTC), d.date.today(), d.datetime.today()]",
    "utcnow": "import warnings; warnings.simplefilter('ignore')\nfrom datetime import datetime\ndatetime.utcnow()",
    "a datetime of its own": "from datetime import datetime\nclass Own(datetime): pass\nstr(Own.now())",
    "sleep": "import time\nbefore = time.time()\ntime.sleep(0.01)\n[before, time.time()]",
    "loop": "import asyncio\nloop = asyncio.get_running_loop()\nbefore = loop.time()\nawait asyncio.sleep(0.01)\n[before, loop.time()]",
    "a loop until": "import time\nend, n = time.monotonic() + 0.002, 0\nwhile time.monotonic() < end: n += 1\nn",
    "logging": "import logging, sys\nlogging.basicConfig(stream=sys.stdout, format='%(asctime)s %(relativeCreated)d')\nlogging.warning('x')",
    "email": "import email.utils\n[email.utils.formatdate(), email.utils.localtime()]",
    # Randomness.
    "random": "import random\n[random.random(), random.choice('abcdef'), random.sample(range(99), 5), random.gauss()]",
    "Random": "import random\n[random.Random().random(), random.SystemRandom().random(), random.Random(7).random()]",
    "seed": "import random\nrandom.seed()\nrandom.random()",
    "shuffle": "import random\nx = list(range(20))\nrandom.shuffle(x)\nx",
    "secrets": "import secrets\n[secrets.token_hex(), secrets.token_urlsafe(), secrets.randbelow(10**9), secrets.choice('abc')]",
    "uuid": "import uuid\n[uuid.uuid1(), uuid.uuid4(), uuid.getnode()]",
    "urandom": "import os\n[os.urandom(9), os.getrandom(9)]",
    "more than a block of random bytes": "import os, random, hashlib\n[os.urandom(65), hashlib.sha256(os.urandom(10**6)).digest(), random.SystemRandom().getrandbits(9_999)]",
    "OpenSSL": "import ssl\n[ssl.RAND_bytes(9), ssl.RAND_bytes(90)]",
    "tempfile": "import tempfile, os\nwith tempfile.NamedTemporaryFile() as file: name = os.path.basename(file.name)\nname",
    "mkdtemp": "import tempfile, os\nos.path.basename(tempfile.mkdtemp())",
    # Hashes.
    "sets of text": "[*{f'{n} words' for n in range(30)}]",
    "sets of bytes and dates": "import datetime as d\n[*{d.date(2026, 1, n) for n in range(1, 20)}, *{bytes([n]) for n in range(20)}]",
    "sets of tuples": "[*frozenset((str(n), n) for n in range(30))]",
    "sets of members": "import enum\nE = enum.Enum('E', [f'n{n}' for n in range(20)])\n[one.name for one in set(E)]",
    "sets of frozen dataclasses": "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    name: str\n[one.name for one in {P(str(n)) for n in range(20)}]",
    "hash": "import datetime as d, decimal\n[hash('text'), hash(b'bytes'), hash(d.date(2026, 1, 1)), hash(('a', 1.5))]",
    # What never differed.
    "sets of other values": "import decimal, uuid\n[*{1, 99, 2**70, None, decimal.Decimal('1.5'), uuid.UUID(int=5), *range(0, 999, 37)}]",
    "dict": "[*dict.fromkeys(str(n) for n in range(20)), *globals()][:25]",
    "collections of garbage": "import gc\n[gc.collect(), gc.get_threshold(), gc.isenabled()]",
    "environment": "import os, sys\n[sorted(set(os.environ) - {'TMPDIR', 'HOME'}), sys.argv, sys.version]",
    "sets of tasks": "import asyncio\nasync def one(n): return n\ntasks = [asyncio.create_task(one(n)) for n in range(20)]\ndone, _ = await asyncio.wait(tasks)\n[t.result() for t in done]",
    "names of tasks": "import asyncio\nasync def name(): return asyncio.current_task().get_name()\nawait asyncio.gather(*(name() for _ in range(3)))",
}
"""Code whose result a replay gives again, byte for byte."""

OTHER = {
    "addresses": "[id(object()), repr(object())]",
    "the kernel's random bytes": "open('/dev/urandom', 'rb').read(8)",
    "OpenSSL's own keys": "import ssl\nout = ssl.MemoryBIO()\nends = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname='x')\ntry: ends.do_handshake()\nexcept ssl.SSLWantReadError: pass\nout.read()",
    "SQLite": "import sqlite3\nsqlite3.connect(':memory:').execute('select random(), julianday()').fetchone()",
    "times of files": "import tempfile, os\nwith tempfile.NamedTemporaryFile() as file: stat = os.stat(file.name)\nstat.st_mtime_ns",
}
"""Code whose result differs in a replay: it comes from the kernel or from C."""


def _recorded(codemode: Codemode, code: str, **options: Any) -> tuple[Recording, ExecutionResult]:
    recording = Recording()
    result = codemode.run(code, recording=recording, **options)
    assert result.ok, result
    return recording, result


def _replayed(
    codemode: Codemode, code: str, recording: Recording, **options: Any
) -> ExecutionResult:
    kept = Recording.from_bytes(recording.to_bytes())
    result = codemode.run(code, recording=kept, **options)
    assert result.ok, result
    return result


@pytest.mark.parametrize("code", SAME.values(), ids=SAME)
def test_replay_elsewhere_sees_the_same(codemode: Codemode, elsewhere: Codemode, code: str) -> None:
    recording, first = _recorded(codemode, code)
    again = _replayed(elsewhere, code, recording)
    assert repr(again.value) == repr(first.value)
    assert (again.stdout, again.stderr) == (first.stdout, first.stderr)


def test_equal_sets_are_equal_inputs(codemode: Codemode) -> None:
    """Also those of another process, where texts have other hashes and so another order."""
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)
    code = "print(*numbers, *[list(each) for each in nested])"
    recording, first = _recorded(
        codemode, code, inputs={"numbers": one, "nested": {frozenset(one)}}
    )
    again = _replayed(
        codemode, code, recording, inputs={"numbers": other, "nested": {frozenset(other)}}
    )
    assert again.stdout == first.stdout


@pytest.mark.parametrize("code", OTHER.values(), ids=OTHER)
def test_these_differ_in_a_replay(codemode: Codemode, elsewhere: Codemode, code: str) -> None:
    recording, first = _recorded(codemode, code)
    assert _replayed(elsewhere, code, recording).value != first.value


@pytest.mark.parametrize("name", ["time", "random", "uuid", "secrets", "tempfile"])
def test_each_recording_has_a_clock_and_a_randomness_of_its_own(
    codemode: Codemode, name: str
) -> None:
    assert _recorded(codemode, SAME[name])[1].value != _recorded(codemode, SAME[name])[1].value


@pytest.mark.parametrize(
    "code",
    [
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import datetime\nclass Own(datetime): pass\nOwn.utcnow()",
        "import os\nos.urandom(-1)",
        "import os\nos.urandom('9')",
        "import os\nos.urandom(1 << 1000)",
        "import time\ntime.clock_gettime('9')",
    ],
)
def test_misuse_is_answered_as_in_a_plain_run(codemode: Codemode, code: str) -> None:
    code = f"import warnings\nwarnings.simplefilter('always')\n{code}\n0"
    plain, recorded = codemode.run(code), codemode.run(code, recording=Recording())
    assert recorded.stderr == plain.stderr
    assert (recorded.error and recorded.error.type) == (plain.error and plain.error.type)
    assert plain.error is not None or "DeprecationWarning" in plain.stderr


def test_many_random_bytes_take_no_more_memory_than_they_are(codemode: Codemode) -> None:
    code = "import random\nrandom.SystemRandom().getrandbits(2**30).bit_length() > 2**29"
    assert codemode.run(code, recording=Recording()).value is True


def test_clock_of_a_recorded_run_is_the_time_of_its_start(codemode: Codemode) -> None:
    before = datetime.now(UTC)
    _, result = _recorded(codemode, "import datetime\ndatetime.datetime.now(datetime.UTC)")
    assert before - timedelta(seconds=1) < result.value < datetime.now(UTC) + timedelta(seconds=1)


def test_two_looks_at_the_clock_differ(codemode: Codemode) -> None:
    code = "import time\n[time.time_ns(), time.time_ns(), time.monotonic_ns(), time.monotonic_ns()]"
    one, two, three, four = _recorded(codemode, code)[1].value
    assert one < two
    assert three < four


def test_timers_set_after_computing_are_not_over_early(codemode: Codemode) -> None:
    """Though the clock stands while code computes."""

    async def pause() -> str:
        await asyncio.sleep(0.05)
        return "answer"

    codemode.registry.register_tool("pause", pause)
    code = "import asyncio\nsum(range(20_000_000))\nresult = await asyncio.wait_for(pause(), 0.3)"
    assert _recorded(codemode, code)[1].value == "answer"


def test_timers_do_not_count_the_time_between_passes(
    codemode: Codemode, elsewhere: Codemode
) -> None:
    """The wall clock goes on, and the one of timers does not."""

    async def step(n: int) -> float:
        return time.time()

    codemode.registry.register_tool("step", step)
    code = """
import asyncio, time
async with asyncio.timeout(0.5):
    first = [await step(1), time.time(), time.monotonic()]
    second = [await step(2), time.time(), time.monotonic()]
result = [first, second]
"""
    recording, _ = _recorded(codemode, code)
    cut = recording.cut(after=1)
    time.sleep(1.0)
    (before, then, tick), (after, now, tock) = _replayed(elsewhere, code, cut).value
    assert after - before >= 1.0
    assert before <= then
    assert after <= now
    assert 0 < tock - tick < 0.5


def test_randomness_goes_on_where_a_cut_was(codemode: Codemode, elsewhere: Codemode) -> None:
    codemode.registry.register_tool("step", lambda: 1)
    code = "import uuid\nfirst = uuid.uuid4()\nstep()\nresult = [first, uuid.uuid4(), uuid.uuid4()]"
    recording, whole = _recorded(codemode, code)
    for after in (0, 1):
        again = _replayed(elsewhere, code, recording.cut(after=after))
        assert again.value == whole.value


DATA = {
    "pandas": "import pandas\n[str(pandas.Timestamp.now()), str(pandas.Timestamp.utcnow())]",
    "numpy": "import numpy\n[numpy.random.rand(3).tolist(), numpy.random.default_rng().random(3).tolist()]",
    "numpy in threads": """
import numpy, time
from concurrent.futures import ThreadPoolExecutor
def work(n):
    time.sleep(n % 3 / 500)
    return numpy.random.rand(2).tolist(), numpy.random.choice(99), numpy.random.sample()
with ThreadPoolExecutor(4) as pool: drawn = list(pool.map(work, range(8)))
assert len({first for (first, _), _, _ in drawn}) == 8
drawn""",
    "samples": "import pandas\npandas.Series(range(50)).sample(5).tolist()",
}


@pytest.mark.slow
@pytest.mark.parametrize("code", DATA.values(), ids=DATA)
def test_replay_elsewhere_sees_the_same_in_tables(
    codemode: Codemode, elsewhere: Codemode, code: str
) -> None:
    recording, first = _recorded(codemode, code, profile="data")
    assert repr(_replayed(elsewhere, code, recording, profile="data").value) == repr(first.value)


@pytest.mark.slow
def test_the_clock_of_numpy_differs_in_a_replay(codemode: Codemode) -> None:
    code = "import numpy\nstr(numpy.datetime64('now'))"
    recording, first = _recorded(codemode, code, profile="data")
    second = time.time_ns() // 10**9
    while time.time_ns() // 10**9 == second:
        time.sleep(0.01)
    assert _replayed(codemode, code, recording, profile="data").value != first.value


def test_a_loop_without_calls_keeps_its_garbage(codemode: Codemode) -> None:
    code = """
import weakref
class Node: pass
def left():
    node = Node()
    node.itself = node
    return weakref.ref(node)
sum(one() is not None for one in [left() for _ in range(5_000)])
"""
    assert _recorded(codemode, code)[1].value == 5_000


def test_collections_of_garbage_come_again(codemode: Codemode, elsewhere: Codemode) -> None:
    """Tasks that the code abandons in cycles end at the same moments, and log nothing new."""
    codemode.registry.register_tool("step", lambda moment: [[str(n)] for n in range(50)])
    code = """
import asyncio, time
seen = []
async def waits(event):
    try:
        await event.wait()
    finally:
        seen.append(time.time())
for n in range(60):
    asyncio.create_task(waits(asyncio.Event()))
    await asyncio.sleep(0)
    seen.append(step(time.time()))
result = [len(seen), time.time()]
"""
    recording, first = _recorded(codemode, code)
    for after in (60, 40, 20, 0):
        again = _replayed(elsewhere, code, recording.cut(after=after))
        assert again.value[0] == first.value[0]
    again = _replayed(elsewhere, code, recording)
    assert (again.value, again.stderr) == (first.value, first.stderr)
