"""A pool of warm children, each used once, forked by zygotes that are replaced regularly."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass

from codemode.executor.host.work_folders import WorkFolder, remove_abandoned
from codemode.executor.pool.children import Child, ChildStartError
from codemode.executor.pool.zygotes import Zygote, ZygoteStartError, ZygoteTerms
from codemode.interpreter import InterpreterNotFoundError

__all__ = ["IsolationBrokenError", "Pool", "PoolUnavailableError", "Prover", "Spawn", "Upkeep"]

logger = logging.getLogger("codemode.executor")

_SPAWNS_AT_ONCE = 2
_REFILL_DELAY = 0.004
_READY_SECONDS = 10.0
_FAILURES_BEFORE_UNHEALTHY = 3
_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 10.0
_KEEPER_SECONDS = 5.0
_FORESEEN = (str, OSError, ChildStartError, ZygoteStartError, InterpreterNotFoundError)

Spawn = Callable[[], Awaitable[Child]]
"""A function that forks a child and waits until it is ready.

Raises OSError, ChildStartError and TimeoutError.
"""

Prover = Callable[[Spawn, ZygoteTerms], Awaitable[Mapping[str, str]]]
"""A function that runs the canaries in children of a new zygote.

Returns the fault of each canary by name, empty for one that passed. Raises OSError.
"""


class PoolUnavailableError(RuntimeError):
    """The failure to make a child; the message gives the reason."""


class IsolationBrokenError(ZygoteStartError):
    """The refusal of a zygote whose sandboxes do not hold; ``canaries`` has the faults by name."""

    def __init__(self, tier: str, profile: str, canaries: Mapping[str, str]) -> None:
        holes = [f"{name}: {fault}" for name, fault in canaries.items() if fault]
        super().__init__(
            f"tier {tier} does not hold on this host (profile {profile!r}): {'; '.join(holes)}. "
            "Refusing to run untrusted code."
        )
        self.canaries = canaries


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """How many children a pool keeps warm, and when these and their zygote are replaced.

    ``size`` children are idle. Ages are in seconds. A new zygote gives new
    address layouts.
    """

    size: int
    child_max_age: float
    zygote_max_forks: int
    zygote_max_age: float


class Pool:
    """A pool of warm children of one profile.

    A child leaves the pool for good when it is acquired. When a zygote is
    replaced, it lives until its last run has ended, so that no run is lost.

    A zygote serves only after the canaries have passed in its children, which
    ``prover`` runs. When they fail, the pool returns no child at all, not even
    one of an earlier zygote, until the canaries of another zygote have passed.

    ``on_change`` is called when ``serving`` may have changed.
    """

    def __init__(
        self,
        terms: ZygoteTerms,
        upkeep: Upkeep,
        *,
        prover: Prover,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.terms = terms
        self.failure: str | None = None
        self.canaries: Mapping[str, str] = {}
        self._upkeep = upkeep
        self._prover = prover
        self._on_change = on_change
        self._idle: deque[tuple[Zygote, Child]] = deque()
        self._waiters: deque[asyncio.Future[Child]] = deque()
        self._zygote: Zygote | None = None
        self._retired: set[Zygote] = set()
        self._failures = 0
        self._closed = False
        self._wanted = asyncio.Event()
        self._replacing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._work = WorkFolder(terms.sandbox.tier)

    @property
    def size(self) -> int:
        """The number of children that the pool keeps idle."""
        return self._upkeep.size

    @property
    def serving(self) -> bool:
        """Whether there is a zygote that has passed its canaries and can fork."""
        return self._zygote is not None and self.failure is None

    async def start(self) -> None:
        """Start the zygote, run its canaries and fill the pool. Raises ZygoteStartError."""
        await asyncio.to_thread(remove_abandoned, self._work.path.parent)
        await self._new_zygote()
        self._task(self._keep_filled())
        self._task(self._keep_fresh())
        self._wanted.set()

    async def acquire(self) -> Child:
        """Return a child that has seen no code. Raises PoolUnavailableError."""
        while self._idle:
            zygote, child = self._idle.popleft()
            self._refill()
            if zygote.alive and not child.exited.done():
                return child
            child.close()
        if self.failure is not None:
            raise PoolUnavailableError(self.failure)
        waiter: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wanted.set()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().close()
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _refill(self) -> None:
        """Request more children; while enough are idle, with a delay in favour of the new run."""
        if len(self._idle) * 2 >= self.size:
            asyncio.get_running_loop().call_later(_REFILL_DELAY, self._wanted.set)
        else:
            self._wanted.set()

    async def close(self) -> None:
        """Kill every child and zygote."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(PoolUnavailableError("the executor is shutting down"))
        zygotes = [*self._retired, *([self._zygote] if self._zygote else [])]
        await asyncio.gather(*(zygote.close() for zygote in zygotes))
        await asyncio.to_thread(self._work.remove)

    def zygote_pids(self) -> list[int]:
        """Return the process ids of the zygotes, the current one first."""
        current = [self._zygote.pid] if self._zygote else []
        return current + [zygote.pid for zygote in self._retired]

    async def _new_zygote(self) -> None:
        """Start a zygote that takes over if its canaries pass. Raises OSError, ZygoteStartError."""
        terms = self.terms
        zygote = Zygote(terms, workdir=self._work.path, on_death=self._zygote_died)
        await zygote.start()
        try:
            await self._prove(zygote, terms)
        except BaseException:
            await zygote.close()
            raise
        self._zygote = zygote
        self._on_change()

    async def _prove(self, zygote: Zygote, terms: ZygoteTerms) -> None:
        canaries = await self._prover(lambda: self._ready_child(zygote), terms)
        if any(canaries.values()):
            raise IsolationBrokenError(terms.sandbox.tier, terms.profile.name, canaries)
        if not zygote.alive:
            raise ZygoteStartError("the zygote died before it was proved")
        self.canaries = canaries

    async def _ready_child(self, zygote: Zygote) -> Child:
        """Fork a child. Raises OSError, ChildStartError, TimeoutError."""
        child = await zygote.spawn()
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await asyncio.shield(child.ready)
        except BaseException:
            child.close()
            raise
        return child

    def _zygote_died(self, zygote: Zygote) -> None:
        self._retired.discard(zygote)
        if self._closed:
            return
        self._task(zygote.close())
        if zygote is self._zygote:
            logger.error("zygote %d died; starting another", zygote.pid)
            self._zygote = None
            self._on_change()
        self._wanted.set()

    async def _keep_filled(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                # An old zygote still fills the pool while it is being replaced.
                if self._zygote is None:
                    async with self._replacing:
                        if self._zygote is None:
                            await self._new_zygote()
                            self._recovered()
            except Exception as error:  # noqa: BLE001  # whatever the error, there is another attempt
                self._failed(error)
                await asyncio.sleep(min(_RETRY_SECONDS * self._failures, _LONGEST_RETRY_SECONDS))
                self._wanted.set()
                continue
            while (zygote := self._zygote) is not None and self._missing(zygote) > 0:
                if zygote.spawning >= _SPAWNS_AT_ONCE:
                    break  # each spawn that ends sets _wanted again
                zygote.spawning += 1
                self._task(self._spawn(zygote))

    def _missing(self, zygote: Zygote) -> int:
        waiting = sum(not waiter.done() for waiter in self._waiters)
        return self.size + waiting - len(self._idle) - zygote.spawning

    async def _spawn(self, zygote: Zygote) -> None:
        try:
            child = await self._ready_child(zygote)
        except TimeoutError:
            # Another zygote takes over. This one may only be slow, so it keeps its runs. A
            # zygote that is stuck is recognised later, by the children that it does not reap.
            self._failed(f"a sandbox was not ready within {_READY_SECONDS:g} s")
            self._task(self._replace(zygote))
        except Exception as error:  # noqa: BLE001  # likewise
            if zygote.alive:
                self._failed(error)
                await asyncio.sleep(_RETRY_SECONDS if self.failure else 0)
        else:
            if zygote is self._zygote:
                self._recovered()
            self._offer(zygote, child)
        finally:
            zygote.spawning -= 1
            self._wanted.set()

    def _offer(self, zygote: Zygote, child: Child) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        if zygote is self._zygote:
            self._idle.append((zygote, child))
            child.exited.add_done_callback(lambda _: self._lost(zygote, child))
        else:
            child.close()

    def _lost(self, zygote: Zygote, child: Child) -> None:
        """Remove a dead child from the idle ones; another child replaces it shortly."""
        if (zygote, child) in self._idle:
            self._idle.remove((zygote, child))
            child.close()
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wanted.set)

    def _failed(self, why: str | Exception) -> None:
        self._failures += 1
        trace = None if isinstance(why, _FORESEEN) else why
        logger.error("no sandbox could be made: %s", why, exc_info=trace)
        if isinstance(why, IsolationBrokenError):
            self._fail(str(why))
        elif self._failures >= _FAILURES_BEFORE_UNHEALTHY:
            self._fail(f"{self._failures} attempts in a row to make a sandbox failed: {why}")

    def _fail(self, failure: str) -> None:
        """Refuse all waiting and new requests until a sandbox can be made."""
        self.failure = failure
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(PoolUnavailableError(failure))
        self._on_change()

    def _recovered(self) -> None:
        self._failures = 0
        if self.failure is not None:
            self.failure = None
            self._on_change()

    async def _keep_fresh(self) -> None:
        """Replace idle children and the zygote when they are old, used up or stuck."""
        upkeep = self._upkeep
        while True:
            await asyncio.sleep(min(_KEEPER_SECONDS, upkeep.child_max_age, upkeep.zygote_max_age))
            now = time.monotonic()
            zygote = self._zygote
            if zygote is not None and (
                zygote.forks >= upkeep.zygote_max_forks
                or now - zygote.born >= upkeep.zygote_max_age
            ):
                await self._replace(zygote)
            while self._idle and now - self._idle[0][1].born >= upkeep.child_max_age:
                self._idle.popleft()[1].close()
                self._wanted.set()
            for retired in list(self._retired):
                retired.retire()
            for each in (self._zygote, *self._retired):
                if each is not None and each.stuck():
                    logger.error("zygote %d does not reap its children; killing it", each.pid)
                    self._task(each.close())

    async def _replace(self, old: Zygote) -> None:
        async with self._replacing:
            if old is self._zygote:
                await self._recycle(old)

    async def _recycle(self, old: Zygote) -> None:
        try:
            await self._new_zygote()
        except IsolationBrokenError as error:
            # What this host does to the new zygote it may do to the old one as well.
            self._zygote = None
            self._failed(error)
        except Exception:
            logger.exception("zygote %d is old, and no other could be made; it stays", old.pid)
            return
        else:
            logger.info("zygote %d is replaced after %d forks", old.pid, old.forks)
        if old.alive:
            self._retired.add(old)
        for zygote, child in self._idle:
            if zygote is old:
                child.close()
        self._idle = deque(pair for pair in self._idle if pair[0] is not old)
        self._wanted.set()

    def _task(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
