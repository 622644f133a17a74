"""What gRPC needs around a fork, so that the child neither hangs nor crashes."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc._channel  # gRPC imports it for its first channel: a fork meanwhile would hang the child
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # has no stubs for it

from codemode.errors import ConfigurationError

__all__ = [
    "ForkSafeStub",
    "aio_was_lost",
    "check_usable",
    "keep_out_of_forks",
    "lose_aio",
    "stacks",
]

_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
# What gRPC's own parser takes for false; it reads the variable once.
_DISABLED = os.environ.get(_SUPPORT, "").strip().lower() in ("0", "false", "f", "no", "n")

_KIB = 1024
_UNLIMITED_STACK = 2048 * _KIB  # what glibc gives a thread where the limit is none
_LEAST_STACK = 512 * _KIB
_STACK_STEP = 64 * _KIB

# The beginnings of the names of gRPC's own threads, while it is at work.
_GRPC_THREADS = ("event_engine", "grpc_", "lifeguard")
# What gRPC calls the thread that serves all its asyncio channels.
_AIO_THREAD = "_poll_wrapper"

# No public name does this. A gRPC without it would cancel the calls, as described below.
_unregister = getattr(cygrpc, "fork_unregister_channel", None)

_stack_lock = threading.Lock()
_generation = 0  # of forks between the first process and this one
_at_work = _aio_at_work = False  # in this process, at its last fork
_grpc_lost = _aio_lost = False


@contextlib.contextmanager
def stacks() -> Iterator[None]:
    """Let gRPC start threads on stacks that no thread of a forked child gets.

    A thread that waits within gRPC leaves a record of itself on its stack, and
    gRPC still follows the record in a child, where the thread is gone. glibc
    gives such a stack to the child's next thread that asks for as much, or for
    less; what gRPC finds there by then ends the child with a SIGSEGV. So these
    stacks are smaller than what other threads ask for, and smaller than those
    of the child's own.
    """
    with _stack_lock:
        before = threading.stack_size(_stack_bytes(threading.stack_size()))
        try:
            yield
        finally:
            threading.stack_size(before)


def _stack_bytes(configured: int) -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
    usual = _UNLIMITED_STACK if limit == resource.RLIM_INFINITY else limit
    least = min(usual, configured or usual)
    size = min(least // 2 + _generation * _STACK_STEP, least - _STACK_STEP)
    return max(_LEAST_STACK, size // _STACK_STEP * _STACK_STEP)


class ForkSafeStub:
    """Be the stub for threads, which leaves no thread waiting where a fork would hurt."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def Execute(self, requests: Iterator[Any], **options: Any) -> Any:  # noqa: N802 - the service's
        """Open a stream."""
        with stacks():
            return self._stub.Execute(requests, **options)

    def GetInfo(self, request: Any, **options: Any) -> Any:  # noqa: N802 - the service's
        """Ask, and wait outside of gRPC, not on the stack of the caller's thread."""
        with stacks():
            future = self._stub.GetInfo.future(request, **options)
        return future.result()


def keep_out_of_forks(channel: grpc.Channel) -> None:
    """Keep gRPC from cancelling the calls of a channel of the parent in a forked child.

    It takes the channel's lock for that (with its fork support set to 1), and
    where another thread has held it at the fork, waits for it for ever. Here
    the child drops the channel without touching it.
    """
    if _unregister is not None:
        _unregister(channel)


def check_usable() -> None:
    """Raise ConfigurationError where gRPC would hang, in a forked child without its support."""
    if _grpc_lost:
        raise ConfigurationError(
            f"this process was forked while gRPC was in use, and {_SUPPORT}="
            f"{os.environ.get(_SUPPORT, '0')} in its environment keeps gRPC from working on this "
            f"side; start the parent without {_SUPPORT}, or with {_SUPPORT}=1, or fork before "
            "anything uses gRPC"
        )


def aio_was_lost() -> bool:
    """Tell whether gRPC's asyncio channels are dead in this process, for its parent had some."""
    return _aio_lost


def lose_aio() -> None:
    """Note, in a forked child, that its parent had an asyncio channel open."""
    global _aio_lost
    _aio_lost = True


def _before_fork() -> None:
    global _at_work, _aio_at_work
    _aio_at_work = any(_AIO_THREAD in thread.name for thread in threading.enumerate())
    _at_work = _DISABLED and _grpc_is_at_work()


def _grpc_is_at_work() -> bool:
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return True  # no way to know, and a hang would be worse than an error
    for task in tasks:
        try:
            name = (task / "comm").read_text()
        except OSError:
            continue  # the thread has ended meanwhile
        if name.startswith(_GRPC_THREADS):
            return True
    return False


def _after_fork_in_child() -> None:
    global _stack_lock, _generation, _grpc_lost, _aio_lost
    _stack_lock = threading.Lock()
    _generation += 1
    _grpc_lost = _grpc_lost or _at_work
    _aio_lost = _aio_lost or _aio_at_work


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
