"""What gets through when a layer is left out: what each layer is there for."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import resource
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codemode import Codemode
from codemode.config import CEILINGS
from codemode.tools import tool
from tests.codemode.sandbox.attacks.attack import Attack, outcome_of, program
from tests.codemode.sandbox.attacks.probes_limits import DISK_BYTES
from tests.support.mutations import Mutations

__all__ = ["MUTATIONS", "Proof", "Trial"]

Trial = Callable[[Codemode, Mapping[str, Any]], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One layer of some tiers, and a trial whose outcome changes without it.

    ``besides`` are the layers that cover for it: only with them left out too
    does the trial tell ``held`` with the layer and ``through`` without it.
    ``covered`` is what it tells when the layer alone is left out. In ``through``
    several words may be separated by ``|``.
    """

    layer: str
    tiers: str
    trial: Trial
    held: str
    through: str
    besides: frozenset[str] = frozenset()
    covered: str = ""


def _code(body: str, **limits: Any) -> Trial:
    """Return a trial by one program, given as the body of a function."""
    text = program(Attack(number=0, name="trial", code=body, expected=""))

    async def trial(codemode: Codemode, inputs: Mapping[str, Any]) -> str:
        result = await codemode.client.execute_async(
            text, [], limits or None, inputs=inputs, execution_timeout=60
        )
        return outcome_of(result)

    return trial


async def _signal_the_group(codemode: Codemode, inputs: Mapping[str, Any]) -> str:
    """Tell whether a signal to the own group reaches a sandbox that runs beside it."""
    ready, struck = asyncio.Event(), asyncio.Event()

    async def listening() -> None:
        ready.set()
        await struck.wait()

    codemode.registry.register_tool("listening", listening, overwrite=True)
    listener = asyncio.create_task(
        codemode.run_async(
            "import signal\nheard = []\n"
            "signal.signal(signal.SIGUSR1, lambda *a: heard.append(1))\n"
            "await listening()\n"
            "'reached' if heard else 'not reached'"
        )
    )
    await asyncio.wait_for(ready.wait(), 60)
    await codemode.run_async("import os, signal\nos.kill(0, signal.SIGUSR1)", available_tools=[])
    struck.set()
    heard = outcome_of(await listener)
    # Where the signal ends the zygote, the listener ends with it, and another one starts.
    assert outcome_of(await codemode.run_async("1")) == "1"
    return heard.replace("Killed", "reached")


async def _threads_of_two(codemode: Codemode, inputs: Mapping[str, Any]) -> str:
    """Tell whether two sandboxes get their threads at the same time."""
    both = threading.Barrier(2)

    @tool(thread_sensitive=False)
    def tried() -> None:
        both.wait(60)

    codemode.registry.register_tool("tried", tried, overwrite=True)
    code = (
        "import threading, time\nstarted = 0\n"
        "try:\n    for _ in range(24):\n"
        "        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
        "        started += 1\n"
        "except RuntimeError:\n    pass\ntried()\nstarted"
    )
    results = await asyncio.gather(
        *(codemode.run_async(code, available_tools=["tried"]) for _ in range(2))
    )
    return "both" if [outcome_of(result) for result in results] == ["24", "24"] else "one"


async def _users_of_two(codemode: Codemode, inputs: Mapping[str, Any]) -> str:
    results = [
        await codemode.run_async("import os\nos.getuid()", available_tools=[]) for _ in range(2)
    ]
    return "different" if results[0].value != results[1].value else "equal"


async def _draws_of_two(codemode: Codemode, inputs: Mapping[str, Any]) -> str:
    """Tell whether two sandboxes draw the same random numbers."""
    code = "import numpy\nfloat(numpy.random.random())"
    drawn = [await codemode.run_async(code, available_tools=[], profile="data") for _ in range(2)]
    return "equal" if outcome_of(drawn[0]) == outcome_of(drawn[1]) else "different"


async def _files_of_a_sibling(codemode: Codemode, inputs: Mapping[str, Any]) -> str:
    """Tell whether the work folder of a sandbox that runs is open to another."""
    read: list[str] = []

    async def peek(path: str) -> None:
        code = f"open({path!r}).read()"
        read.append(outcome_of(await codemode.run_async(code, available_tools=[])))

    codemode.registry.register_tool("peek", peek, overwrite=True)
    await codemode.run_async(
        "import os\nopen('mine', 'w').write('secret')\nawait peek(os.path.abspath('mine'))"
    )
    return read[0]


async def _shared_memory_of_the_host(codemode: Codemode, inputs: Mapping[str, Any]) -> str:
    """Tell whether the code finds shared memory that was made outside."""
    key, size, permissions, create, remove = (
        0x636D0000 | os.getpid() & 0xFFFF,
        4096,
        0o666,
        0o1000,
        0,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.shmget(key, size, create | permissions)
    assert made >= 0, os.strerror(ctypes.get_errno())
    try:
        find = _code(f"return 'found' if call('shmget', {key}, {size}, 0) >= 0 else ''")
        return await find(codemode, inputs)
    finally:
        libc.shmctl(made, remove, None)


def _hard_limit(name: str) -> str:
    return f"import resource\nreturn resource.getrlimit(resource.{name})[1]"


def _own_limit(kind: int) -> str:
    return str(resource.getrlimit(kind)[1])


_THREADS_IN_LITTLE_MEMORY = """
    import threading, time
    def start():
        for _ in range(24):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return 'started'
    return tell(start)
"""
_SOCKET = "return tell(lambda: socket.socket(2, 2) and 'a socket')"
_CHROOT = (
    "return tell(lambda: libc.chroot(b'/') and os.strerror(ctypes.get_errno()) or 'a new root')"
)
_PIPE = "return tell(lambda: os.mkfifo('pipe') or 'a pipe')"

_FORK = """
    def fork():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return 'forked'
    return tell(fork)
"""

_PROOFS = (
    Proof(
        layer="own_session",
        tiers="AC",
        trial=_signal_the_group,
        held="not reached",
        through="reached",
        besides=frozenset({"seccomp_filter", "landlock_domain", "landlock_files"}),
        covered="not reached",
    ),
    Proof(
        layer="own_session",
        tiers="B",
        trial=_signal_the_group,
        held="not reached",
        through="reached",
        besides=frozenset({"seccomp_filter", "landlock_files", "user_of_number"}),
        covered="not reached",
    ),
    Proof(
        layer="read_only_view",
        tiers="A",
        trial=_code(
            "return each(lambda: open(FILE).read(), lambda: open(FILE, 'a').write('x') and 'written')"
        ),
        held="ENOENT",
        through="secret written",
    ),
    Proof(
        layer="network_namespace",
        tiers="A",
        trial=_code("return tell(lambda: socket.socket(2, 2).sendto(b'x', ('127.0.0.1', UDP)))"),
        held="ENETUNREACH",
        through="1",
        besides=frozenset({"seccomp_filter"}),
        covered="EACCES",
    ),
    Proof(
        layer="ipc_namespace",
        tiers="A",
        trial=_shared_memory_of_the_host,
        held="ENOENT",
        through="found",
        besides=frozenset({"seccomp_filter"}),
        covered="EPERM",
    ),
    Proof(
        layer="uts_namespace",
        tiers="A",
        trial=_code("return os.uname().nodename"),
        held="sandbox",
        through=platform.node(),
    ),
    Proof(
        layer="pid_namespace_of_each",
        tiers="A",
        # The zygote, and with it every sibling, can then be seen.
        trial=_code("return os.getppid()"),
        held="0",
        through="1",
    ),
    Proof(
        layer="pid_namespace_of_each",
        tiers="A",
        trial=_code(
            "return each(*(lambda p=p: os.kill(p, 0) or p for p in range(1, 40) if p != os.getpid()))"
        ),
        held="ESRCH",
        through="EPERM ESRCH",
        besides=frozenset({"seccomp_filter"}),
        covered="EPERM",
    ),
    Proof(
        layer="private_tmp",
        tiers="A",
        # Fails closed: what lies below is the read-only view.
        trial=_code("os.chdir('/tmp')\nreturn tell(lambda: open('x', 'w').write('x'))"),
        held="1",
        through="EROFS",
    ),
    Proof(
        layer="nested_user_namespace",
        tiers="A",
        trial=_threads_of_two,
        held="both",
        through="one",
    ),
    Proof(
        layer="user_of_number", tiers="B", trial=_users_of_two, held="different", through="equal"
    ),
    Proof(
        layer="user_of_number",
        tiers="B",
        trial=_files_of_a_sibling,
        held="PermissionError",
        through="secret",
        besides=frozenset({"landlock_files"}),
        covered="PermissionError",
    ),
    Proof(
        layer="fresh_randomness",
        tiers="ABC",
        trial=_draws_of_two,
        held="different",
        through="equal",
    ),
    Proof(
        layer="work_folder",
        tiers="C",
        # Fails closed: nothing can be written anywhere.
        trial=_code("return tell(lambda: open('x', 'w').write('x'))"),
        held="1",
        through="EACCES",
    ),
    Proof(
        layer="ceilings",
        tiers="ABC",
        trial=_code(_hard_limit("RLIMIT_NOFILE"), max_open_files=1000),
        held="256",
        through="1000",
    ),
    *(
        Proof(
            layer=limit,
            tiers="ABC",
            trial=_code(_hard_limit(limit), **asked),
            held=held,
            through=through,
        )
        for limit, asked, held, through in (
            ("RLIMIT_NOFILE", {"max_open_files": 1000}, "256", "1000"),
            (
                "RLIMIT_FSIZE",
                {"max_disk_bytes": 4 * DISK_BYTES},
                f"{DISK_BYTES}",
                f"{4 * DISK_BYTES}",
            ),
            ("RLIMIT_CPU", {"max_cpu_seconds": 7000.0}, f"{CEILINGS.max_cpu_seconds:.0f}", "7000"),
            ("RLIMIT_MEMLOCK", {}, "0", _own_limit(resource.RLIMIT_MEMLOCK)),
            ("RLIMIT_MSGQUEUE", {}, "0", _own_limit(resource.RLIMIT_MSGQUEUE)),
            ("RLIMIT_SIGPENDING", {}, "64", _own_limit(resource.RLIMIT_SIGPENDING)),
        )
    ),
    Proof(
        layer="thread_ceiling",
        tiers="AB",
        trial=_code(_hard_limit("RLIMIT_NPROC"), max_threads=1000),
        held="128",
        through="1000",
    ),
    Proof(
        layer="low_priority",
        tiers="ABC",
        trial=_code("return each(lambda: os.nice(0) >= 5, lambda: os.nice(-1))"),
        held="True EPERM",
        through="False EPERM",
    ),
    Proof(
        layer="small_stacks",
        tiers="ABC",
        trial=_code(_THREADS_IN_LITTLE_MEMORY, max_memory_bytes=160 * 1024 * 1024),
        held="started",
        through="RuntimeError",
    ),
    Proof(
        layer="no_privileges",
        tiers="AC",
        trial=_code("return f'{libc.prctl(39, 0, 0, 0, 0)}{libc.prctl(3, 0, 0, 0, 0)}'"),
        held="10",
        # With a user namespace of its own the process is not dumpable in any case.
        through="00|01",
    ),
    Proof(
        layer="no_privileges",
        tiers="AC",
        trial=_code(_CHROOT),
        held="Operation not permitted",
        through="a new root",
        besides=frozenset({"seccomp_filter"}),
        covered="SecurityViolation",
    ),
    Proof(
        layer="landlock_domain",
        tiers="A",
        trial=_code(_PIPE),
        held="EACCES",
        through="a pipe",
        besides=frozenset({"seccomp_filter"}),
        covered="EPERM",
    ),
    Proof(
        layer="landlock_files",
        tiers="BC",
        trial=_code(
            "return each(lambda: open(FILE).read(), lambda: os.listdir(FOLDER) and 'listed')"
        ),
        held="EACCES",
        through="secret listed",
    ),
    Proof(
        layer="landlock_files",
        tiers="BC",
        trial=_code(
            "return tell(lambda: 'read' if open(f'/proc/{os.getppid()}/cmdline').read() else '')"
        ),
        held="EACCES",
        through="read",
    ),
    *(
        Proof(layer="seccomp_filter", tiers=tiers, trial=_code(body), held=held, through=through)
        for tiers, body, held, through in (
            ("ABC", _SOCKET, "EACCES", "a socket"),
            ("ABC", "return tell(lambda: os.memfd_create('x') and 'made')", "ENOSYS", "made"),
            (
                "ABC",
                _FORK,
                "EPERM",
                "forked",
            ),
            (
                "BC",
                "return tell(lambda: socket.socketpair(1, 2)[0].sendto(b'x', DATAGRAMS))",
                "EPERM",
                "1",
            ),
            (
                "C",
                "os.chmod(FILE, 0o600)\nreturn oct(os.stat(FILE).st_mode)",
                "0o100666",
                "0o100600",
            ),
        )
    ),
)

MUTATIONS = Mutations[Proof](__name__)
"""Each by the name of its layer, which the executor leaves out by a setting."""

for _proof in _PROOFS:
    MUTATIONS.add(_proof.layer, _proof)
