"""Two executions at once, or one after the other, have nothing to do with each other."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from codemode import Codemode, Limits
from codemode.config import Tier
from tests.codemode.sandbox.attacks.attack import Attack, program
from tests.codemode.sandbox.attacks.battlefield import serving
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.paths import ROOT


class Meeting:
    """A meeting place of two executions, which wait for each other there."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Condition()

    async def meet(self, role: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Tell the facts of one role; return those of the other one as soon as it has come."""
        other = "attacker" if role == "victim" else "victim"
        stage = facts["stage"]
        async with self._changed:
            self._known[f"{role} {stage}"] = facts
            self._changed.notify_all()
            await self._changed.wait_for(lambda: f"{other} {stage}" in self._known)
        return self._known[f"{other} {stage}"]


_VICTIM = """
import os, signal, threading, time
heard = []
for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *a: heard.append(a[0]))
with open('mine', 'w') as file:
    file.write('mine')
await meet('victim', {'stage': 1, 'pid': os.getpid(), 'path': os.path.abspath('mine')})
# The other one has its threads, files and disk now, and keeps them.
await meet('victim', {'stage': 2})
threads = [threading.Thread(target=time.sleep, args=(100,), daemon=True) for _ in range(24)]
for thread in threads:
    thread.start()
files = [os.open('/dev/null', os.O_RDONLY) for _ in range(40)]
with open('large', 'wb') as file:
    written = sum(file.write(bytes(1 << 20)) for _ in range(8))
await meet('victim', {'stage': 3})
result = {'heard': heard, 'mine': open('mine').read(), 'folder': sorted(os.listdir()),
          'threads': len(threads), 'files': len(files), 'written': written >> 20}
"""

_ATTACKER = """
import threading, time
async def main():
    other = await meet('attacker', {'stage': 1})
    pid, path = other['pid'], other['path']
    seen = each(lambda: os.kill(pid if pid != os.getpid() else 2, 10), lambda: os.kill(0, 10), lambda: os.kill(-1, 10))
    before = sorted(os.listdir())
    def write():
        # In tier A the path is the own folder's: what is written there, only the writer sees.
        with open(path, 'a') as file:
            file.write('overwritten')
        return 'own' if before == [] else 'shared'
    writes = each(lambda: 'read ' + open(path).read(), write)
    held = []
    tell(lambda: [held.append(os.open('/dev/null', os.O_RDONLY)) for _ in range(100)])
    taken = len(held)
    for fd in held[20:]:
        os.close(fd)
    # Where nothing but memory bounds the threads, their stacks take all of it: some is kept for what comes then.
    spare = bytearray(16 << 20)
    def threads():
        while True:
            threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    tell(threads)
    del spare
    def disk():
        for index in range(20):
            with open(str(index), 'wb', buffering=0) as file:
                file.write(bytes(1 << 20))
    full = tell(disk)
    await meet('attacker', {'stage': 2})
    await meet('attacker', {'stage': 3})
    return {'signals': seen, 'before': before, 'writes': writes, 'full': full, 'taken': taken > 40}
result = await main()
"""


def test_each_gets_its_share_whatever_the_other_takes(tier: Tier) -> None:
    head = program(Attack(number=79, name="", code="pass", expected="")).rsplit("def attack", 1)[0]
    attacker = head + _ATTACKER

    async def both() -> list[Any]:
        async with serving(tier) as (codemode, _):
            codemode.registry.register_tool("meet", Meeting().meet)
            codemode.client.limits = Limits(max_threads=32, execution_timeout=90)
            return await asyncio.gather(*map(codemode.run_async, (_VICTIM, attacker)))

    victim, attack = asyncio.run(both())
    assert attack.error is None
    assert victim.error is None
    assert victim.value == {
        "heard": [],
        "mine": "mine",
        "folder": ["large", "mine"],
        "threads": 24,
        "files": 40,
        "written": 8,
    }
    assert attack.value["signals"] == "EPERM"
    assert attack.value["before"] == []
    assert attack.value["writes"] == ("ENOENT own" if tier == "A" else "EACCES")
    assert attack.value["taken"]
    # How much all files of a lower tier may hold together is one of its gaps.
    assert attack.value["full"] == ("ENOSPC" if tier == "A" else "None")


_MESS = """
import builtins, gc, json, os, sys, tempfile
builtins.left = json.left = sys.left = 1
json.dumps = None
os.environ['LEFT'] = '1'
sys.path.insert(0, '/left')
open('left', 'w').write('left')
os.mkdir('left.d')
os.symlink('/', 'left.link')
tempfile.NamedTemporaryFile(delete=False).write(b'left')
os.umask(0)
"""
_LOOK = """
import builtins, json, os, sys, tempfile
result = [hasattr(builtins, 'left'), hasattr(json, 'left'), hasattr(sys, 'left'), callable(json.dumps),
          'LEFT' in os.environ, '/left' in sys.path, os.listdir(), os.listdir(tempfile.gettempdir()), os.umask(0) != 0]
"""


def test_nothing_survives_a_run(tier: Tier) -> None:
    async def look() -> list[Any]:
        async with serving(tier, pool_size=1) as (codemode, _):
            found = []
            for _ in range(3):
                assert (await codemode.run_async(_MESS)).ok
                found.append((await codemode.run_async(_LOOK)).value)
            return found

    clean = [False, False, False, True, False, False, [], [], True]
    assert asyncio.run(look()) == [clean] * 3


def test_output_of_one_never_appears_in_another(tier: Tier) -> None:
    async def tokens() -> None:
        async with serving(tier) as (codemode, _):
            codemode.client.limits = Limits(queue_timeout=100)

            async def one(index: int) -> None:
                token = f"token-{index:04}-"
                result = await codemode.run_async(
                    f"print({token!r} * 50)\nimport sys\nprint({token!r}, file=sys.stderr)\n{token!r}"
                )
                assert result.value == token, result.error
                assert result.stdout == f"{token * 50}\n"
                assert result.stderr == f"{token}\n"

            await asyncio.gather(*map(one, range(200)))

    asyncio.run(tokens())


_DRAWS = """
import importlib.util, os, random, secrets, sqlite3, ssl, tempfile, uuid
result = {'random': random.random(), 'system': random.SystemRandom().random(), 'urandom': os.urandom(8),
          'uuid1': uuid.uuid1(), 'uuid4': uuid.uuid4(), 'secrets': secrets.token_hex(8), 'ssl': ssl.RAND_bytes(8),
          'tempfile': tempfile.NamedTemporaryFile().name,
          'sqlite': sqlite3.connect(':memory:').execute('select random()').fetchone()[0]}
if importlib.util.find_spec('numpy'):
    import numpy, pandas
    result['numpy'] = float(numpy.random.random())
    result['numpy generator'] = float(numpy.random.default_rng().random())
    result['pandas'] = int(pandas.Series(range(1 << 20)).sample(1).iloc[0])
"""


@pytest.mark.parametrize("profile", deep_except(["default", "data"], "data"))
def test_every_library_draws_other_random_numbers_in_each_child(tier: Tier, profile: str) -> None:
    async def draw(codemode: Codemode) -> dict[str, Any]:
        result = await codemode.run_async(_DRAWS, profile=profile)
        assert isinstance(result.value, dict), result.error
        return result.value

    async def draws() -> list[dict[str, Any]]:
        async with serving(tier) as (codemode, _):
            return [await draw(codemode) for _ in range(6)]

    drawn = asyncio.run(draws())
    assert ("numpy" in drawn[0]) is (profile == "data")
    for name in drawn[0]:
        assert len({one[name] for one in drawn}) == len(drawn), name


_CHILDREN_THAT_ARE_EACH_PID_1 = """
import os, ssl, sys
from codemode.sandbox.lockdown import namespaces
if sys.argv[1] == 'guardian':
    ssl.RAND_bytes(1)
namespaces.enter()
namespaces.fork_zygote()
pids = namespaces.PidNamespace()
if sys.argv[1] == 'zygote':
    ssl.RAND_bytes(1)
for _ in range(2):
    pid = pids.fork()
    if pid == 0:
        os.write(1, f"{os.getpid()} {ssl.RAND_bytes(16).hex()}\\n".encode())
        os._exit(0)
    os.waitpid(pid, 0)
os._exit(0)
"""


# A zygote is PID 1 as well: it must draw none, and imports in the process that becomes its guardian.
@pytest.mark.parametrize("drawn_in, different", [("none", 2), ("guardian", 2), ("zygote", 1)])
def test_openssl_knows_a_child_from_the_process_that_imported(
    drawn_in: str, different: int
) -> None:
    needs_tier("A")
    said = subprocess.run(
        [sys.executable, "-c", _CHILDREN_THAT_ARE_EACH_PID_1, drawn_in],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout.split()
    assert said[::2] == ["1", "1"]
    assert len(set(said[1::2])) == different


def test_a_zygote_with_namespaces_is_under_the_filter_as_well() -> None:
    needs_tier("A")

    def filters(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Seccomp_filters:"))

    async def look() -> None:
        async with serving("A") as (codemode, server):
            (guardian,) = server.pools["default"].zygote_pids()
            (zygote,) = psutil.Process(guardian).children()
            seen: list[int] = []

            def look_at_it() -> None:
                seen.extend(filters(child.pid) for child in zygote.children())

            # While it waits for its tool, it is locked down for sure.
            codemode.registry.register_tool("look_at_it", look_at_it)
            result = await codemode.run_async("look_at_it()")
            assert result.ok, result.error
            assert filters(zygote.pid) == filters(guardian) + 1
            assert max(seen) == filters(guardian) + 2

    asyncio.run(look())


_SIGNALS = f"""
{program(Attack(number=97, name="", code="", expected="")).partition("def attack")[0]}
import fcntl, mmap, struct, threading
shared = open(os.__file__, 'rb')
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, ctypes.c_long(4096), mmap.PROT_READ, mmap.MAP_SHARED, shared.fileno(), ctypes.c_long(0))
word = ctypes.c_uint.from_address(page).value
"""
_SENDER = (
    _SIGNALS
    + """
fcntl.lockf(shared, fcntl.LOCK_SH)
wait = lambda: libc.syscall(ctypes.c_long(NUMBERS['futex']), ctypes.c_void_p(page), 0, word, None)
threading.Thread(target=wait, daemon=True).start()
await meet('victim', {'stage': 1})
await meet('victim', {'stage': 2})
"""
)
_RECEIVER = (
    _SIGNALS
    + """
await meet('attacker', {'stage': 1})
asked = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)
locked = struct.unpack('hhqqi4x', fcntl.fcntl(shared, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK
wake = lambda: libc.syscall(ctypes.c_long(NUMBERS['futex']), ctypes.c_void_p(page), 1, 1)
woken = any(wake() == 1 for _ in range(10**6))
await meet('attacker', {'stage': 2})
result = [locked, woken]
"""
)


def test_siblings_can_signal_by_files_that_both_may_read(tier: Tier) -> None:
    """Show that this gap is one; by ``flock`` they cannot, which is among the attacks."""

    async def play() -> Any:
        meeting = Meeting()
        async with serving(tier) as (codemode, _):
            codemode.registry.register_tool("meet", meeting.meet)
            _, received = await asyncio.gather(
                codemode.run_async(_SENDER), codemode.run_async(_RECEIVER)
            )
        return received.value

    assert asyncio.run(play()) == [True, True]
