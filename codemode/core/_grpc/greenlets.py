"""The differences where gevent has turned the process's threads into greenlets."""

from __future__ import annotations

import sys

from codemode.core._grpc.forking import GRPC

__all__ = ["prepare_grpc", "why_not_async"]

_prepared: GRPC | None = None


def prepare_grpc(own: GRPC) -> None:
    """Make gRPC wait cooperatively where threads are greenlets; call before a channel is made.

    Otherwise the first call would stop, for ever, the thread that carries all
    greenlets, including the greenlet that should send the call's request.
    """
    global _prepared
    if not _threads_are_greenlets():
        return
    # No lock is needed, because greenlets switch only where one of them waits.
    if _prepared is not own:
        own.gevent.init_gevent()
        _prepared = own


def why_not_async(what: str, instead: str) -> str | None:
    """Return why nothing asynchronous runs where threads are greenlets; None elsewhere.

    asyncio has one running loop per operating-system thread. So only one
    greenlet at a time could have a loop; the others would fail or wait for ever.
    """
    if not _threads_are_greenlets():
        return None
    return (
        f"{what} is asynchronous, but gevent has patched the threads of this process, and its "
        f"greenlets cannot have an event loop each; {instead}, or serve with another kind of worker"
    )


def _threads_are_greenlets() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")
