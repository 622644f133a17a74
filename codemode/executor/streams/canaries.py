"""Canaries: small attacks that must fail, and ordinary things that must work.

They run in real sandboxes of each zygote, as any code would, before the zygote
serves. So a hole in the isolation is found here, and not by a tenant.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codemode.executor.pool.children import Child, ChildStartError
from codemode.executor.pool.pool import Spawn
from codemode.executor.pool.zygotes import ZygoteTerms
from codemode.executor.streams.event_writer import EventWriter
from codemode.executor.streams.run import ChildLostError, Run, RunTerms
from codemode.executor.streams.sandbox_opening import open_sandbox
from codemode.protos import codemode_pb2 as pb
from codemode.values import decode

__all__ = ["CANARIES", "Canary", "run_canaries"]

_TIMEOUT = 10.0
_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A program and the outcome that it must have.

    The program's value must be ``expected``. A tripwire's process must instead
    be killed for the system call that it makes. A canary without a ``profile``
    runs in every profile.
    """

    name: str
    code: str
    expected: Any = True
    tripwire: bool = False
    profile: str = ""


def _refused(statement: str, *errors: str) -> str:
    """Return a program whose value is True when the statement raises one of the errors."""
    return (
        f"import os, socket, resource, subprocess\ntry:\n    {statement}\n"
        f"except ({', '.join(errors)},) as error:\n    result = True\n"
        "else:\n    result = 'it worked'"
    )


def _tried(statement: str) -> str:
    """Return a program that tries a statement and whose value is always True."""
    return f"import os\ntry:\n    {statement}\nexcept OSError:\n    pass\nresult = True"


_WRITE = "nothing outside can be written"
_CHMOD = "the mode of a file outside cannot be changed"
_PLANTED = b"canary"
_PLANTED_MODE = 0o666

CANARIES: tuple[Canary, ...] = (
    Canary(name="a file outside cannot be read", code=_refused("open(PLANTED).read()", "OSError")),
    # In its own view of the file system the code may make a file of that name. What counts
    # is whether the planted file has changed.
    Canary(name=_WRITE, code=_tried("open(PLANTED, 'a').write('overwritten')")),
    Canary(name=_CHMOD, code=_tried("os.chmod(PLANTED, 0o777)")),
    Canary(name="processes are not visible", code=_refused("open('/proc/1/environ')", "OSError")),
    Canary(name="no network", code=_refused("socket.socket(socket.AF_INET)", "OSError")),
    Canary(
        name="no datagrams to a path",
        code=_refused("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)", "OSError"),
    ),
    Canary(name="no process can be forked", code=_refused("os.fork()", "OSError")),
    Canary(
        name="nothing can be executed",
        code=_refused("os.execv('/bin/true', ['true'])", "OSError"),
    ),
    Canary(name="nobody else can be signalled", code=_refused("os.kill(0, 0)", "OSError")),
    Canary(
        name="limits cannot be raised",
        code=_refused("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "ValueError", "OSError"),
    ),
    Canary(
        name="ptrace is a tripwire",
        code="import ctypes\nctypes.CDLL(None).ptrace(16, 1, 0, 0)",
        tripwire=True,
    ),
    Canary(
        name="new namespaces are a tripwire",
        code="import ctypes\nctypes.CDLL(None).unshare(0x10000000)",
        tripwire=True,
    ),
    Canary(name="temporary files work", code="open('x', 'w').write('1') == 1"),
    Canary(
        name="threads work",
        code=(
            "import threading\nseen = []\n"
            "thread = threading.Thread(target=seen.append, args=(1,))\n"
            "thread.start()\nthread.join()\nseen == [1]"
        ),
    ),
    Canary(name="asyncio works", code="import asyncio\nasyncio.run(asyncio.sleep(0, True))"),
    Canary(name="modules can be imported", code="import sqlite3, wave\nTrue"),
    Canary(
        name="numpy and pandas work",
        code=(
            "import numpy, numpy.polynomial, pandas\nint(pandas.Series(numpy.arange(4)).sum()) == 6"
        ),
        profile="data",
    ),
)


async def run_canaries(spawn: Spawn, terms: ZygoteTerms) -> Mapping[str, str]:
    """Run all canaries of the profile, each in its own child; none without isolation.

    Returns the fault of each canary by name, empty for one that passed. Raises
    OSError when the file that the canaries attack cannot be planted.
    """
    isolated = terms.sandbox.tier != "none"
    wanted = [one for one in CANARIES if isolated and one.profile in ("", terms.profile.name)]
    turns = asyncio.Semaphore(_AT_ONCE)

    async def fault(canary: Canary, planted: str) -> str:
        async with turns:
            try:
                return await _fault(canary, await spawn(), terms, planted)
            except (ChildStartError, ChildLostError, TimeoutError) as error:
                return f"no sandbox ({type(error).__name__}: {error})"

    with tempfile.NamedTemporaryFile(prefix="codemode-canary-") as planted:
        planted.write(_PLANTED)
        planted.flush()
        os.chmod(planted.name, _PLANTED_MODE)
        found = await asyncio.gather(*(fault(one, planted.name) for one in wanted))
        faults = {one.name: fault for one, fault in zip(wanted, found, strict=True)}
        if os.pread(planted.fileno(), len(_PLANTED) + 1, 0) != _PLANTED:
            faults[_WRITE] = "the planted file was written"
        if os.fstat(planted.fileno()).st_mode & 0o777 != _PLANTED_MODE:
            faults[_CHMOD] = "the mode of the planted file was changed"
    return faults


async def _fault(canary: Canary, child: Child, terms: ZygoteTerms, planted: str) -> str:
    received = _Listener()
    try:
        await open_sandbox(
            child,
            terms.limits,
            cpu_seconds=_TIMEOUT,
            threads_are_counted=terms.sandbox.threads_are_counted,
        )
        await Run(
            pb.Run(run_id=1, code=f"PLANTED = {planted!r}\n{canary.code}"),
            RunTerms(limits=terms.limits, timeout=_TIMEOUT, cpu_limit=_TIMEOUT),
            child=child,
            events=EventWriter(received, batches=False),
        ).serve()
    finally:
        child.close()
        await asyncio.wait({child.exited}, timeout=_TIMEOUT)
    if received.failed is not None:
        if canary.tripwire and received.failed.type == "SecurityViolation":
            return ""
        return f"{received.failed.type}: {received.failed.message}"
    if canary.tripwire:
        return "the process survived the system call"
    return "" if received.value == canary.expected else f"got {received.value!r}"


class _Listener:
    """A stand-in for the client of a run."""

    def __init__(self) -> None:
        self.value: Any = None
        self.failed: pb.Failed | None = None

    async def read(self) -> Any:
        raise NotImplementedError("a canary's run reads nothing")

    async def write(self, message: pb.ExecutorMessage) -> None:
        match message.WhichOneof("message"):
            case "completed":
                self.value = decode(message.completed.value)
            case "failed":
                self.failed = message.failed
