"""The zygote: a small single-threaded process that forks sandboxed children.

The executor starts the zygote as ``python -s -P -S -B __main__.py CONTROL_FD
SETTINGS`` with a clean environment. The zygote imports the modules that children
need once, and then forks a child for each request of the executor. It never sees
a tenant's data: the executor sends it only fixed commands, each with the file
descriptors of one child's frame socket and raw output.
"""

from __future__ import annotations

import errno
import importlib
import os
import select
import signal
import socket
from collections.abc import Mapping
from typing import Any, NoReturn

from codemode.sandbox.child import start
from codemode.sandbox.guest.runtime import Guest
from codemode.sandbox.guest.stacks import hide_package
from codemode.sandbox.imports import expose
from codemode.sandbox.lockdown.boot import Prepared, prepare
from codemode.sandbox.lockdown.layers import Boot
from codemode.sandbox.sharing import share_objects
from codemode.wire.zygote_records import EXITED, FAILED, FORKED, READY, SPAWN

__all__ = ["main"]

_MOST_FDS = 8

# After that many, the interpreter has specialised the bytecode of a run (PEP 659). Each child would
# otherwise do it again, in pages that the kernel copies for it.
_REHEARSALS = 8


def main(control_fd: int, settings: Mapping[str, Any]) -> NoReturn:
    """Serve the executor until its end of the control socket closes."""
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    # Only the executor handles the terminal's Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    expose(settings["packages"])
    for module in settings["modules"]:
        importlib.import_module(module)
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"a preloaded module started {threads - 1} threads; forks need one")
    prepared = prepare(settings["tier"], settings["exposed"], settings["without"])
    guest = Guest()
    for _ in range(_REHEARSALS):
        guest.rehearse()
    hide_package()
    share_objects()
    _Zygote(control, settings, prepared, guest).serve()


class _Zygote:
    def __init__(
        self,
        control: socket.socket,
        settings: Mapping[str, Any],
        prepared: Prepared,
        guest: Guest,
    ) -> None:
        self._guest = guest
        self._control = control
        self._settings = settings
        self._prepared = prepared
        self._pid = os.getpid()
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._children: dict[int, tuple[int, int]] = {}  # pidfd -> (pid, number)

    def serve(self) -> NoReturn:
        self._send(READY)
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._control.fileno():
                    self._command()
                else:
                    self._exited(fd)

    def _command(self) -> None:
        try:
            message, fds, flags, _ = socket.recv_fds(self._control, SPAWN.size, _MOST_FDS)
        except ConnectionResetError:  # the executor closed its end before it had read all messages
            message = b""
        if not message:
            self._leave()
        kind, number = SPAWN.unpack(message)
        if kind != b"S":
            raise RuntimeError(f"unknown command {message!r}")
        try:
            # The kernel drops descriptors that do not fit, such as a control group's entrance.
            if flags & socket.MSG_CTRUNC:
                raise OSError(errno.EMFILE, "no room for the descriptors of a sandbox")
            pid = self._prepared.fork()
        except OSError as error:
            for fd in fds:
                os.close(fd)
            self._send(FAILED.pack(b"N", number, error.errno or 0))
            return
        if pid == 0:
            start(fds[0], fds[1], fds[2:], self._boot(number), self._guest)
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = (pid, number)
        self._poll.register(pidfd, select.POLLIN)
        self._send(FORKED.pack(b"F", number), pidfd)

    def _boot(self, number: int) -> Boot:
        settings, prepared = self._settings, self._prepared
        return Boot(
            tier=settings["tier"],
            number=number,
            zygote_pid=self._pid,
            rlimits=settings["rlimits"],
            threads=settings["threads"],
            disk_bytes=settings["disk_bytes"],
            workdir=os.path.join(settings["workdir"], str(number)),
            memory_base=prepared.memory_base,
            landlock_fd=prepared.landlock_fd,
            filter_bytes=prepared.filter_bytes,
            highest_fd=prepared.highest_fd,
            readable=prepared.readable,
            without=frozenset(settings["without"]),
        )

    def _exited(self, pidfd: int) -> None:
        pid, number = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        if not self._prepared.pid_namespace:
            _kill_group(pid)
            self._kill_orphans()
        cpu = int((usage.ru_utime + usage.ru_stime) * 1_000_000)
        self._send(EXITED.pack(b"X", number, status, cpu, usage.ru_maxrss))

    def _kill_orphans(self) -> None:
        """Kill and reap the processes reparented to the zygote that are not sandboxes."""
        known = {pid for pid, _ in self._children.values()}
        # Each round reparents the next layer of a process tree to the zygote. Only the PID
        # namespace of tier A stops a tree that grows faster than this loop.
        for _ in range(64):
            orphans = [pid for pid in _children_of_self() if pid not in known]
            if not orphans:
                return
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _send(self, message: bytes, *fds: int) -> None:
        try:
            socket.send_fds(self._control, [message], fds)
        except (BrokenPipeError, ConnectionResetError):
            self._leave()

    def _leave(self) -> NoReturn:
        """End the zygote, all children and the processes they started: the executor is gone."""
        if not self._prepared.pid_namespace:  # otherwise the kernel kills the whole PID namespace
            for pid, _ in self._children.values():
                _kill_group(pid)
            self._children.clear()
            self._kill_orphans()
        os._exit(0)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _children_of_self() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_ours(name)]


def _is_ours(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may contain anything, even ") R 1".
            return int(file.read().rpartition(b")")[2].split()[1]) == os.getpid()
    except (FileNotFoundError, ProcessLookupError):
        return False
