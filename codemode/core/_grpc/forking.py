"""The gRPC of this process: a forked child loads its own, because none survives a fork."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import grpc._channel
import grpc.aio
import grpc.experimental.gevent
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # has no stubs for it

from codemode.core._grpc.apart import call_apart
from codemode.core._grpc.kept import keep_at_exit, keep_for_ever
from codemode.errors import ConfigurationError
from codemode.wire.protobuf import make_stub

if sys.platform != "win32":
    import resource

__all__ = ["GRPC", "ForkSafeStub", "grpc_of_this_process", "stacks"]

_CORE = "grpc._cython.cygrpc"
# Callers compare or catch these, so they have to be the same in every gRPC of the process.
_SHARED = ("EOF", "UsageError")

_KIB = 1024
_UNLIMITED_STACK = 2048 * _KIB  # what glibc gives a thread where there is no limit
_LEAST_STACK = 512 * _KIB
_STACK_STEP = 64 * _KIB

# Beginnings of the names of the threads that gRPC runs while it is at work.
_GRPC_THREADS = ("event_engine", "grpc_", "lifeguard")


class GRPC:
    """The part of gRPC that a client uses."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self.aio: Any = modules["grpc.aio"]
        self.gevent: Any = modules["grpc.experimental.gevent"]
        self._threads: Any = modules["grpc._channel"]
        self._core: Any = modules[_CORE]

    def channel(
        self,
        address: str,
        options: tuple[tuple[str, Any], ...],
        credentials: grpc.ChannelCredentials | None,
    ) -> grpc.Channel:
        """Return a channel for threads, unencrypted if there are no credentials."""
        inner = credentials._credentials if credentials else None  # type: ignore[attr-defined]  # left out of the stubs
        channel: grpc.Channel = self._threads.Channel(address, options, inner, None)
        # With its fork support set to 1, gRPC would cancel the channel's calls in a forked
        # child. To do so it takes a lock, and waits for ever if another thread held the lock
        # at the fork.
        self._core.fork_unregister_channel(channel)
        return keep_at_exit(channel)

    def connect(self, channel: grpc.Channel, within: float) -> bool:
        """Return whether a channel for threads is connected; if not, let it connect.

        Wait for a change of its state, for at most ``within`` seconds. The wait has to be
        within gRPC: where gRPC has no poller of its own, as by default 1.76 has none in
        Python, a connection only makes progress during such waits.
        """
        core = channel._channel  # type: ignore[attr-defined]  # left out of the stubs
        ready = self._core.ConnectivityState.ready
        if core.check_connectivity_state(False) == ready:
            return True

        def connect() -> None:
            with stacks():
                state = core.check_connectivity_state(True)
            if state != ready:
                core.watch_connectivity_state(state, time.time() + within)

        # The thread that waits needs a stack like those of gRPC's own.
        call_apart(connect, begun_within=stacks)
        return bool(core.check_connectivity_state(False) == ready)

    def ssl_credentials(
        self, ca: bytes | None, key: bytes | None, certificate: bytes | None
    ) -> grpc.ChannelCredentials:
        """Return credentials for channels of either kind."""
        inner = self._core.SSLChannelCredentials(ca, key, certificate)
        return grpc.ChannelCredentials(inner)  # type: ignore[call-arg]  # left out of the stubs


@contextlib.contextmanager
def stacks() -> Iterator[None]:
    """Let gRPC start threads on stacks that no thread of a forked child gets.

    On other stacks, a forked child may end with a SIGSEGV:

    1. A thread that waits within gRPC leaves a record of itself on its stack.
    2. The process forks. In the child the thread is gone, but not the record.
    3. gRPC's fork handlers start its threads again in the child.
    4. glibc gives the old stack to the child's next thread that asks for as
       much, or for less. That thread overwrites the record.
    5. gRPC's new threads follow the record, and find what that thread wrote.

    So gRPC's threads get stacks that are smaller than what other threads ask
    for, and smaller than the stacks of gRPC's own threads in the child.
    """
    global _usual_stack
    if sys.platform == "win32":
        yield  # nothing forks there
        return
    with _stack_lock:
        _usual_stack = threading.stack_size()
        threading.stack_size(_stack_bytes(_usual_stack))
        try:
            yield
        finally:
            threading.stack_size(_usual_stack)


def _stack_bytes(configured: int) -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
    usual = _UNLIMITED_STACK if limit == resource.RLIM_INFINITY else limit
    least = min(usual, configured or usual)
    size = min(least // 2 + _generation * _STACK_STEP, least - _STACK_STEP)
    return max(_LEAST_STACK, size // _STACK_STEP * _STACK_STEP)


class ForkSafeStub:
    """The stub of a channel for threads, with no thread left waiting where a fork would do harm."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self._stub = make_stub(channel)

    def Execute(self, requests: Iterator[Any], **options: Any) -> Any:  # noqa: N802 - the service's
        """Open a stream."""
        with stacks():
            return keep_at_exit(self._stub.Execute(requests, **options))

    def GetInfo(self, request: Any, **options: Any) -> Any:  # noqa: N802 - the service's
        """Send the request and wait outside of gRPC, not on the stack of the caller's thread."""

        def ask() -> Any:
            with stacks():
                future = keep_at_exit(self._stub.GetInfo.future(request, **options))
            return future.result()

        return call_apart(ask)


def grpc_of_this_process() -> GRPC:
    """Return a gRPC whose channels work in this process. Raises ConfigurationError.

    The state of gRPC's core cannot be carried over a fork: its locks may be
    held by threads that the child does not have, and its lists lead to the
    stacks of such threads. So a forked child leaves everything inherited as it
    is. It loads the core a second time, with fresh state, and the modules on
    top of it.
    """
    global _current, _used
    with _lock:
        if _current is None:
            _current = _load_another()
        _used = True
        return _current


def _load_another() -> GRPC:
    global _loaded
    _loaded += 1
    try:
        core = Path(cygrpc.__file__)
        with core.open("rb") as file, os.fdopen(os.memfd_create("cygrpc"), "wb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            # A file that is loaded already would not be loaded again, nor would such a name.
            return _load(f"/proc/self/fd/{'./' * _loaded}{copy.fileno()}")
    except (AttributeError, ImportError, OSError) as error:
        raise ConfigurationError(
            "this process was forked from one that had used gRPC, and needs to load a gRPC of its "
            f"own, which failed: {error}; fork before the first execution, or use the spawn method "
            "of multiprocessing"
        ) from error


def _load(core: str) -> GRPC:
    """Import gRPC's modules again, on a core from a file that is not loaded yet."""
    finder = _Finder(core)
    with _grpc_set_aside():
        sys.meta_path.insert(0, finder)
        try:
            another = import_module(_CORE)
            for name in _SHARED:
                setattr(another, name, getattr(cygrpc, name))
            for name in ("grpc._channel", "grpc.aio", "grpc.experimental.gevent"):
                import_module(name)
            return GRPC(sys.modules)
        finally:
            sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """A finder of gRPC's core in another file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != _CORE:
            return None
        loader = ExtensionFileLoader(fullname, self._path)
        return spec_from_file_location(fullname, self._path, loader=loader)


@contextlib.contextmanager
def _grpc_set_aside() -> Iterator[None]:
    """Let gRPC's modules be imported again, on top of the same classes of the package."""
    former = {name: module for name, module in sys.modules.items() if _is_of_grpc(name)}
    package = ModuleType("grpc")
    package.__dict__.update(
        (name, value)
        for name, value in vars(grpc).items()
        if not (isinstance(value, ModuleType) and _is_of_grpc(value.__name__))
    )
    _remove_grpc()
    sys.modules["grpc"] = package
    try:
        yield
    finally:
        _remove_grpc()
        sys.modules.update(former)


def _remove_grpc() -> None:
    for name in [name for name in sys.modules if _is_of_grpc(name)]:
        del sys.modules[name]


def _is_of_grpc(name: str) -> bool:
    return name == "grpc" or name.startswith("grpc.")


def _before_fork() -> None:
    global _used_by_others
    _used_by_others = _grpc_is_at_work()


def _grpc_is_at_work() -> bool:
    """Return whether gRPC's threads run in this process, whatever started them."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return True  # no way to know
    for task in tasks:
        try:
            name = (task / "comm").read_text()
        except OSError:
            continue  # the thread has ended meanwhile
        if name.startswith(_GRPC_THREADS):
            return True
    return False


def _after_fork_in_child() -> None:
    global _lock, _stack_lock, _generation, _current, _used
    _lock = threading.Lock()
    if _stack_lock.locked():
        threading.stack_size(_usual_stack)
    _stack_lock = threading.Lock()
    _generation += 1
    # ``_used`` is read here, not before the fork: other threads go on until the fork
    # itself, and may use gRPC for the first time.
    if (_used or _used_by_others) and _current is not None:
        keep_for_ever(_current)
        _current = None
    _used = False


_lock = threading.Lock()
_stack_lock = threading.Lock()
_usual_stack = 0  # stack size of other threads, while gRPC's are started
_generation = 0  # number of forks between the first process and this one
_current: GRPC | None = GRPC(sys.modules)
_used = False  # in this process, by a client
_used_by_others = False  # in the parent, before the fork
_loaded = 0  # cores beyond the first, in this process and the processes before it

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
