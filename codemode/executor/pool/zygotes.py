"""The executor's handle on one zygote process and on the children that it forks."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codemode.config import Limits
from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT, PYTHON_FLAGS, import_path
from codemode.executor.host.control_groups import Cgroup, Cgroups
from codemode.executor.host.limits import SandboxSettings
from codemode.executor.host.work_folders import remove_folder
from codemode.executor.pool.children import Child, ChildState, Exit
from codemode.executor.pool.packages import Packages
from codemode.executor.pool.profiles import Profile
from codemode.executor.pool.sandbox_numbers import SandboxNumbers
from codemode.interpreter import find_python
from codemode.wire.zygote_records import EXITED, FAILED, FORKED, READY, SPAWN

__all__ = ["Zygote", "ZygoteStartError", "ZygoteTerms"]

logger = logging.getLogger("codemode.executor")

_START_TIMEOUT = 30.0
_REAP_SECONDS = 10.0
_LEAVE_SECONDS = 2.0


class ZygoteStartError(RuntimeError):
    """The failure of a zygote to start; the message gives the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZygoteTerms:
    """What all zygotes of a pool have in common.

    ``limits`` are those of a run that asks for none.
    """

    profile: Profile
    packages: Packages
    sandbox: SandboxSettings
    limits: Limits
    cgroups: Cgroups
    numbers: SandboxNumbers


class Zygote:
    """One zygote process, and the children that it forks.

    ``on_death`` is called once, when the process is gone; by then ``exited`` is
    set on each of its children.
    """

    def __init__(
        self, terms: ZygoteTerms, *, workdir: Path, on_death: Callable[[Zygote], None]
    ) -> None:
        self.born = time.monotonic()
        self.forks = 0
        self.spawning = 0  # children that the pool waits for
        self.children: dict[int, Child] = {}
        self.alive = False
        self._terms = terms
        self._dead: dict[int, float] = {}  # number -> when it was first seen dead, unreaped
        self._workdir = workdir
        self._settings: dict[str, Any] = {
            **dataclasses.asdict(terms.sandbox),
            "exposed": terms.packages.exposed,
            "packages": dataclasses.asdict(terms.packages),
            "modules": terms.profile.modules,
            "import_path": import_path(),
            "workdir": str(workdir),
        }
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._removals: set[asyncio.Future[None]] = set()

    @property
    def pid(self) -> int:
        """Return the process id; 0 before the start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the process and wait until it can fork. Raises ZygoteStartError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        script = Path(__file__).parents[2] / "sandbox" / "__main__.py"
        self._control = ours
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *(find_python(), *PYTHON_FLAGS, str(script)),
                    *(str(theirs.fileno()), json.dumps(self._settings)),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=CLEAN_ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
            async with asyncio.timeout(_START_TIMEOUT):
                answer, how = await self._loop.sock_recv(ours, 64), "ended before it was ready"
        except TimeoutError:
            answer, how = b"", f"did not start within {_START_TIMEOUT:g} s"
        except BaseException:
            # The pool was closed meanwhile, and nothing else refers to this process.
            await self.close()
            raise
        if answer != READY:
            await self.close()
            raise ZygoteStartError(
                f"the zygote (profile {self._terms.profile.name!r}) {how}; its output is above "
                "in the log"
            )
        self.alive = True
        self._loop.add_reader(ours.fileno(), self._receive)

    async def spawn(self) -> Child:
        """Request one child; it can be used once its ``ready`` is done. Raises OSError."""
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            frame_socket, other = socket.socketpair()
            ours.enter_context(frame_socket)
            theirs.enter_context(other)
            raw_read, raw_write = os.pipe2(os.O_CLOEXEC)
            ours.callback(os.close, raw_read)
            theirs.callback(os.close, raw_write)
            child = self._new_child()
            ours.pop_all()  # they belong to the child from now on
            try:
                await child.attach(frame_socket, raw_read)
                # Without a control socket the zygote has died meanwhile, and the child with it.
                if self._control is not None:
                    with _entrance(child.group) as entrances:
                        descriptors = [other.fileno(), raw_write, *entrances]
                        message = SPAWN.pack(b"S", child.number)
                        socket.send_fds(self._control, [message], descriptors)
            except OSError as error:
                logger.warning("zygote %d takes no more work: %s", self.pid, error)
                self._forget(child, None)
            return child

    def _new_child(self) -> Child:
        if self._control is None:
            raise OSError("the zygote has died")
        number = self._terms.numbers.take()
        try:
            group = self._terms.cgroups.take()
        except OSError:
            self._terms.numbers.give_back(number)
            raise
        self.children[number] = child = Child(number, self._terms.limits.max_value_bytes, group)
        self.forks += 1
        return child

    def stuck(self) -> bool:
        """Return whether a dead child has stayed unreaped for 10 s, seen by repeated calls.

        A child that was closed before it was forked counts as dead.
        """
        now = time.monotonic()
        poll = select.poll()
        children = list(self.children.values())
        numbers = {child.pidfd: child.number for child in children if child.pidfd >= 0}
        for pidfd in numbers:
            poll.register(pidfd, select.POLLIN)
        dead = [numbers[pidfd] for pidfd, _ in poll.poll(0)]
        dead += [
            child.number
            for child in children
            if child.state is ChildState.CLOSED and child.pidfd < 0
        ]
        self._dead = {number: self._dead.get(number, now) for number in dead}
        return any(now - since >= _REAP_SECONDS for since in self._dead.values())

    def retire(self) -> None:
        """End the process if all its children have ended."""
        if not self.children:
            self._die()

    async def close(self) -> None:
        """End the process and its children, and reap it."""
        for child in list(self.children.values()):
            child.close()
        self._die()
        if self._process is not None:
            try:
                # The zygote exits by itself once it has killed the processes that only it knows.
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                pass
            finally:  # even when the pool is closed meanwhile
                self._kill()
            await self._process.wait()
        await asyncio.gather(*self._removals)

    def _kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # Not Process.kill(): in Python 3.12.1 it may reap a process that the loop awaits.
                os.kill(self._process.pid, signal.SIGKILL)

    def _receive(self) -> None:
        assert self._control is not None
        for _ in range(64):
            try:
                message, fds, _, _ = socket.recv_fds(self._control, 64, 1)
            except BlockingIOError:
                return None
            except OSError:
                message, fds = b"", []
            if not message:
                return self._die()
            self._handle(message, fds)

    def _handle(self, message: bytes, fds: list[int]) -> None:
        match message[:1]:
            case b"F":
                _, number = FORKED.unpack(message)
                self._forked(self.children[number], fds)
            case b"N":
                _, number, code = FAILED.unpack(message)
                logger.error("fork failed: %s", os.strerror(code))
                self._forget(self.children[number], None)
            case b"X":
                _, number, status, cpu_us, max_rss_kb = EXITED.unpack(message)
                self._forget(
                    self.children[number],
                    Exit(
                        status=status,
                        cpu_seconds=cpu_us / 1_000_000,
                        max_rss_bytes=max_rss_kb * 1024,
                        out_of_memory=_out_of_memory(self.children[number], status),
                    ),
                )
            case _:
                logger.error("zygote %d sent %r, which is not a record", self.pid, message[:16])
                self._die()

    def _forked(self, child: Child, fds: list[int]) -> None:
        try:
            (pidfd,) = fds  # empty when no descriptor is free here
            pid = _pid_of(pidfd)
        except (ValueError, OSError) as error:
            logger.error("no descriptor is free for a sandbox: %s", error)
            for fd in fds:
                os.close(fd)
            child.close()  # closes its frame socket, which ends it
        else:
            child.set_process(pid, pidfd)

    def _forget(self, child: Child, exit: Exit | None) -> None:
        self.children.pop(child.number, None)
        child.set_exited(exit)
        if child.group is not None:
            if exit is None:  # no zygote has killed what the child has started
                child.group.kill()
            self._terms.cgroups.give_back(child.group)
        self._terms.numbers.give_back(child.number)
        self._remove_workdir(self._workdir / str(child.number))

    def _remove_workdir(self, path: Path) -> None:
        """Remove what a child wrote, in a thread because it may be a lot."""
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            removal = self._loop.run_in_executor(None, remove_folder, path)
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)

    def _die(self) -> None:
        control, self._control = self._control, None
        if control is None:
            return
        self._loop.remove_reader(control.fileno())
        control.close()
        self.alive = False
        for child in list(self.children.values()):
            child.kill()
            self._forget(child, None)
        self._on_death(self)


def _entrance(group: Cgroup | None) -> AbstractContextManager[list[int]]:
    return nullcontext([]) if group is None else group.entrance()


def _out_of_memory(child: Child, status: int) -> bool:
    """Return whether a child was killed for its memory, and not by this side."""
    if child.group is None or child.state is not ChildState.OPEN:
        return False
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return killed and child.group.out_of_memory()


def _pid_of(pidfd: int) -> int:
    """Return a process id as this process sees it; the zygote may see another.

    Returns 0 when the process is already gone.
    """
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pid:"):
                return max(0, int(line.split()[1]))
    return 0
