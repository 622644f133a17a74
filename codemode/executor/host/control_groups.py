"""Control groups: limits of each sandbox's total memory and processes, and its CPU share.

They need folders of the cgroup file system that this process may write to: as
root outside of containers, or delegated, for example by systemd's ``Delegate=yes``.
Without them each sandbox still has the limits of its own process.

The source of the files and rules is the kernel's documentation,
admin-guide/cgroup-v1 and cgroup-v2.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codemode.executor.host.claimed_folders import abandoned, claim

__all__ = ["Cgroup", "Cgroups", "cpu_is_shared_by_session"]

logger = logging.getLogger("codemode.executor")

_WANTED = ("memory", "pids", "cpu")
_PREFIX = "codemode-"
_EXECUTOR = "executor"
_REMOVE_SECONDS = 2.0

# The weight of one thread against a group, in cpu.shares and in cpu.weight.
_THREAD_SHARES = 1024
_THREAD_WEIGHT = 100
_EXECUTOR_WEIGHT = 10 * _THREAD_WEIGHT
_MOST_WEIGHT = 10_000

_FIRST_NAMESPACE = "cgroup:[4026531835]"  # PROC_CGROUP_INIT_INO in linux/proc_ns.h

_made = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hierarchy:
    """A tree of groups: its version, which wanted controllers it has, and our own group."""

    version: int
    controllers: tuple[str, ...]
    base: str


class Cgroup:
    """The group of one sandbox at a time; in version 1 a folder per controller."""

    def __init__(self, folders: Sequence[tuple[_Hierarchy, str]]) -> None:
        self._folders = folders
        self._limits: tuple[int, int] | None = None
        self._kills_before = 0

    @contextlib.contextmanager
    def entrance(self) -> Iterator[list[int]]:
        """Yield descriptors to which a process writes "0" to enter the group. Raises OSError."""
        descriptors: list[int] = []
        try:
            for _, folder in self._folders:
                path = os.path.join(folder, "cgroup.procs")
                descriptors.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            self._kills_before = self._oom_kills()
            yield descriptors
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def limit(self, *, memory_bytes: int, processes: int) -> None:
        """Limit the memory, swap included, and the number of threads. Raises OSError."""
        if self._limits == (memory_bytes, processes):
            return
        self._limits = None
        for hierarchy, folder in self._folders:
            if "pids" in hierarchy.controllers:
                _write(folder, "pids.max", processes)
            if "memory" in hierarchy.controllers:
                if hierarchy.version == 2:
                    _write(folder, "memory.max", memory_bytes)
                    _write(folder, "memory.oom.group", 1)
                    _write_if_there(folder, "memory.swap.max", 0)
                else:
                    _limit_memory_v1(folder, memory_bytes)
        self._limits = (memory_bytes, processes)

    def out_of_memory(self) -> bool:
        """Return whether the kernel killed a process here for memory since ``entrance``."""
        return self._oom_kills() > self._kills_before

    def kill(self) -> None:
        """Kill all processes in the group."""
        for _, folder in self._folders:
            _kill_all(folder)

    def remove(self, deadline: float) -> None:
        """Kill and remove the group; log why not after ``deadline`` (of the monotonic clock)."""
        for _, folder in self._folders:
            _remove_with_all(folder, deadline)

    def _oom_kills(self) -> int:
        for hierarchy, folder in self._folders:
            if "memory" in hierarchy.controllers:
                name = "memory.events" if hierarchy.version == 2 else "memory.oom_control"
                for line in _read(folder, name).splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0


class Cgroups:
    """The reusable groups of an executor's sandboxes; ``reason`` is why there are none."""

    def __init__(self, wanted: Collection[str] = _WANTED) -> None:
        self.reason = ""
        self._folders: list[tuple[_Hierarchy, str]] = []
        self._claims: list[int] = []
        self._moved: list[_Hierarchy] = []
        self._free: list[Cgroup] = []
        self._all: list[Cgroup] = []
        self._numbers = itertools.count(1)
        # A host may refuse the CPU shares alone; the limits of memory and processes matter more.
        for names in (wanted, [name for name in wanted if name != "cpu"]):
            try:
                self._enter_all(names)
            except OSError as error:
                self.close()
                self.reason = str(error)
            else:
                self.reason = ""
                break

    @property
    def controllers(self) -> tuple[str, ...]:
        """Return the used controllers, such as ``("memory", "pids")``; empty without delegation."""
        return tuple(name for hierarchy, _ in self._folders for name in hierarchy.controllers)

    @property
    def detail(self) -> str:
        """Return a description of the groups, or why there are none."""
        if self.reason:
            return f"none ({self.reason})"
        versions = sorted({hierarchy.version for hierarchy, _ in self._folders})
        return f"{', '.join(self.controllers)} (version {' and '.join(map(str, versions))})"

    def take(self) -> Cgroup | None:
        """Return an empty group, or None where there are none. Raises OSError."""
        if not self._folders:
            return None
        if self._free:
            return self._free.pop()
        number = str(next(self._numbers))
        folders = [(hierarchy, os.path.join(top, number)) for hierarchy, top in self._folders]
        with contextlib.ExitStack() as made:
            for _, folder in folders:
                os.mkdir(folder)
                made.callback(os.rmdir, folder)
            made.pop_all()
        group = Cgroup(folders)
        self._all.append(group)
        return group

    def give_back(self, group: Cgroup) -> None:
        """Keep a group whose process has ended for the next sandbox."""
        self._free.append(group)

    def close(self) -> None:
        """Kill what is left in the groups and remove them; log what cannot be removed in time."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        for group in self._all:
            group.remove(deadline)
        for hierarchy in self._moved:
            _try_until(deadline, lambda: self._leave(hierarchy))  # noqa: B023  # called at once
        for hierarchy, top in self._folders:
            if hierarchy not in self._moved:
                _try_until(deadline, lambda: os.rmdir(top))  # noqa: B023  # called at once
        for descriptor in self._claims:
            os.close(descriptor)
        self._all, self._free, self._folders, self._claims, self._moved = [], [], [], [], []

    def _enter_all(self, wanted: Collection[str]) -> None:
        hierarchies = list(_hierarchies(wanted))
        if not hierarchies:
            raise OSError("no cgroup file system with these controllers is mounted")
        for hierarchy in hierarchies:
            self._enter(hierarchy)

    def _enter(self, hierarchy: _Hierarchy) -> None:
        """Make this executor's folder, below the group that it runs in."""
        for left in abandoned(hierarchy.base, _PREFIX):
            _remove_left(left)
        top = os.path.join(hierarchy.base, f"{_PREFIX}{os.getpid()}-{next(_made)}")
        os.mkdir(top)
        self._folders.append((hierarchy, top))
        self._claims.append(claim(top))
        if hierarchy.version == 2:
            self._distribute(hierarchy, top)
        if "cpu" in hierarchy.controllers:
            self._weigh(hierarchy, top)

    def _weigh(self, hierarchy: _Hierarchy, top: str) -> None:
        """Share the CPU by sandbox, whatever its number of threads, and prefer the executor.

        The groups of sandboxes keep their equal default weights. All of them
        together weigh as much as one thread per core. Where the executor has a
        group beside them, each sandbox weighs a tenth of the executor.
        """
        cores = os.cpu_count() or 1
        if hierarchy.version == 1:
            _write(top, "cpu.shares", _THREAD_SHARES * cores)
        elif hierarchy in self._moved:
            _write(os.path.join(top, _EXECUTOR), "cpu.weight", _EXECUTOR_WEIGHT)
        else:
            _write(top, "cpu.weight", min(_THREAD_WEIGHT * cores, _MOST_WEIGHT))

    def _distribute(self, hierarchy: _Hierarchy, top: str) -> None:
        """Enable the controllers for the groups of sandboxes.

        Only the root, or a group that itself has no processes, may do that. So
        this process moves into a new group below its group. Raises OSError when
        other processes share its group.
        """
        base = hierarchy.base
        enabled = set(_read(base, "cgroup.subtree_control").split())
        if not enabled.issuperset(hierarchy.controllers):
            is_root = not os.path.exists(os.path.join(base, "cgroup.type"))
            if not is_root:
                others = set(_read(base, "cgroup.procs").split()) - {str(os.getpid())}
                if others:
                    raise OSError(
                        f"other processes share the group {base}: start the executor as a "
                        "separate service, such as by systemd with Delegate=yes"
                    )
                os.mkdir(os.path.join(top, _EXECUTOR))
                self._moved.append(hierarchy)
                _write(os.path.join(top, _EXECUTOR), "cgroup.procs", os.getpid())
            _write(base, "cgroup.subtree_control", _each("+", hierarchy.controllers))
        _write(top, "cgroup.subtree_control", _each("+", hierarchy.controllers))

    def _leave(self, hierarchy: _Hierarchy) -> None:
        (top,) = [top for one, top in self._folders if one is hierarchy]
        _write(top, "cgroup.subtree_control", _each("-", hierarchy.controllers))
        _write(hierarchy.base, "cgroup.subtree_control", _each("-", hierarchy.controllers))
        _write(hierarchy.base, "cgroup.procs", os.getpid())
        os.rmdir(os.path.join(top, _EXECUTOR))
        os.rmdir(top)


def cpu_is_shared_by_session() -> bool:
    """Return whether the kernel shares the CPU by session; each sandbox is a session.

    The kernel does so only for processes in the root group of the controller
    ``cpu``; see sched(7), autogroup.
    """
    try:
        enabled = _read("/proc/sys/kernel", "sched_autogroup_enabled").strip() == "1"
        outermost = os.readlink("/proc/self/ns/cgroup") == _FIRST_NAMESPACE
    except OSError:
        return False
    return enabled and outermost and not any(map(_is_below_root, _hierarchies(["cpu"])))


def _is_below_root(hierarchy: _Hierarchy) -> bool:
    if hierarchy.version == 1:
        return os.path.exists(os.path.join(hierarchy.base, "..", "cpu.shares"))
    groups = (Path(hierarchy.base), *Path(hierarchy.base).parents)
    return any((group / "cpu.weight").exists() for group in groups)


def _hierarchies(wanted: Collection[str]) -> Iterator[_Hierarchy]:
    """Yield the trees that have wanted controllers, with this process's group in each."""
    own: dict[frozenset[str], str] = {}  # the line of version 2 names no controllers
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            own[frozenset(filter(None, names.split(",")))] = path
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = [line.split() for line in file]
    for fields in mounts:
        root, point, options = fields[3], fields[4], set(fields[-1].split(","))
        match fields[fields.index("-") + 1]:
            case "cgroup":
                version = 1
                group = next((names for names in own if names and names <= options), None)
                found = group
            case "cgroup2":
                version, group = 2, frozenset()
                found = frozenset(_read(point, "cgroup.controllers").split())
            case _:
                continue
        if group is None or found is None or group not in own:
            continue
        base = os.path.normpath(os.path.join(point, os.path.relpath(own[group], root)))
        controllers = tuple(name for name in wanted if name in found)
        if controllers and os.path.isdir(base):
            yield _Hierarchy(version=version, controllers=controllers, base=base)


def _limit_memory_v1(folder: str, memory_bytes: int) -> None:
    names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
    names = [name for name in names if os.path.exists(os.path.join(folder, name))]
    # The second must never be below the first, so it is set first when both are raised.
    if int(_read(folder, names[0])) < memory_bytes:
        names.reverse()
    for name in names:
        _write(folder, name, memory_bytes)


def _remove_left(top: str) -> None:
    """Remove the groups of a killed executor, with the processes left in them."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    try:
        folders = [entry.path for entry in os.scandir(top) if entry.is_dir()]
    except FileNotFoundError:  # another executor was faster
        return
    for folder in (*folders, top):
        _remove_with_all(folder, deadline)


def _remove_with_all(folder: str, deadline: float) -> None:
    def attempt() -> None:
        with contextlib.suppress(FileNotFoundError):
            _kill_all(folder)
            os.rmdir(folder)

    _try_until(deadline, attempt)


def _kill_all(folder: str) -> None:
    for pid in map(int, _read(folder, "cgroup.procs").split()):
        if pid:  # 0 is a process that is invisible here; for kill() it is our own process group
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _each(sign: str, controllers: Sequence[str]) -> str:
    return " ".join(f"{sign}{name}" for name in controllers)


def _try_until(deadline: float, attempt: Callable[[], object]) -> None:
    while True:
        try:
            attempt()
        except OSError as error:
            if time.monotonic() > deadline:
                logger.warning("a control group could not be removed: %s", error)
                return
            time.sleep(0.01)
        else:
            return


def _read(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="ascii") as file:
        return file.read()


def _write(folder: str, name: str, value: object) -> None:
    with open(os.path.join(folder, name), "w", encoding="ascii") as file:
        file.write(str(value))


def _write_if_there(folder: str, name: str, value: object) -> None:
    if os.path.exists(os.path.join(folder, name)):
        _write(folder, name, value)
