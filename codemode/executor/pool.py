"""A pool of warm children, each used once, forked by zygotes that are replaced in time."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Coroutine

from codemode.executor.child import Child, ChildStartError
from codemode.executor.limits import SandboxSettings
from codemode.executor.workfolder import make_folder, remove_folder
from codemode.executor.zygote import Zygote, ZygoteStartError

__all__ = ["Pool", "PoolUnavailableError"]

logger = logging.getLogger(__name__)

_SPAWNS_AT_ONCE = 2
_REFILL_DELAY = 0.004
_READY_SECONDS = 10.0
_FAILURES_BEFORE_UNHEALTHY = 3
_RETRY_SECONDS = 0.5
_KEEPER_SECONDS = 5.0


class PoolUnavailableError(RuntimeError):
    """Tell that no child can be made now, and why."""


class Pool:
    """Keep ``size`` warm children of one profile.

    A child leaves the pool for good when it is acquired. The zygote is
    replaced after ``zygote_max_forks`` or ``zygote_max_age`` seconds, which
    gives new address layouts and hash seeds; the old one lives until its last
    run has ended, so that no run is lost.
    """

    def __init__(
        self,
        *,
        profile: str,
        size: int,
        sandbox: SandboxSettings,
        max_frame_bytes: int,
        child_max_age: float,
        zygote_max_forks: int,
        zygote_max_age: float,
    ) -> None:
        self.profile = profile
        self.failure: str | None = None
        self.size = size
        self.sandbox = sandbox
        self._max_frame_bytes = max_frame_bytes
        self._child_max_age = child_max_age
        self._zygote_max_forks = zygote_max_forks
        self._zygote_max_age = zygote_max_age
        self._slots = itertools.count(1)
        self._idle: deque[tuple[Zygote, Child]] = deque()
        self._waiters: deque[asyncio.Future[Child]] = deque()
        self._zygote: Zygote | None = None
        self._retired: set[Zygote] = set()
        self._spawning = 0
        self._failures = 0
        self._closed = False
        self._wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._workdir = make_folder("codemode-work-", sandbox.tier)

    async def start(self) -> None:
        """Start the zygote and fill the pool. Raises ZygoteStartError."""
        await self._new_zygote()
        self._task(self._keep_filled())
        self._task(self._keep_fresh())
        self._wanted.set()

    async def acquire(self) -> Child:
        """Return a child that has seen no code. Raises PoolUnavailableError."""
        while self._idle:
            zygote, child = self._idle.popleft()
            self._refill()
            if zygote.alive and not child.exited.done() and not child.closed:
                return child
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
        """Ask for more children; while there are enough, not at the cost of the run that begins."""
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
        await asyncio.to_thread(remove_folder, self._workdir)

    def zygote_pids(self) -> list[int]:
        """Return the process ids of the zygotes, the current one first."""
        current = [self._zygote.pid] if self._zygote else []
        return current + [zygote.pid for zygote in self._retired]

    async def _new_zygote(self) -> None:
        zygote = Zygote(
            profile=self.profile,
            workdir=self._workdir,
            sandbox=self.sandbox,
            max_frame_bytes=self._max_frame_bytes,
            on_death=self._zygote_died,
        )
        await zygote.start()
        self._zygote = zygote

    def _zygote_died(self, zygote: Zygote) -> None:
        self._retired.discard(zygote)
        if self._closed:
            return
        self._task(zygote.close())
        if zygote is self._zygote:
            logger.error("zygote %d died; starting another", zygote.pid)
            self._zygote = None
        self._wanted.set()

    async def _keep_filled(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                if self._zygote is None:
                    await self._new_zygote()
                    self._recovered()
            except (OSError, ZygoteStartError) as error:
                self._failed(str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self._wanted.set()
                continue
            while self._zygote is not None and self._missing() > 0:
                if self._spawning >= _SPAWNS_AT_ONCE:
                    break  # each spawn that ends sets _wanted again
                self._spawning += 1
                self._task(self._spawn(self._zygote))

    def _missing(self) -> int:
        waiting = sum(not waiter.done() for waiter in self._waiters)
        return self.size + waiting - len(self._idle) - self._spawning

    async def _spawn(self, zygote: Zygote) -> None:
        child = None
        try:
            child = await zygote.spawn(next(self._slots))
            async with asyncio.timeout(_READY_SECONDS):
                await asyncio.shield(child.ready)
        except TimeoutError:
            # A zygote that is stopped, or stuck: another one takes its place.
            self._failed(f"a sandbox was not ready within {_READY_SECONDS:g} s")
            self._task(zygote.close())
        except (OSError, ChildStartError) as error:
            if child is not None:
                child.close()
            if zygote.alive:
                self._failed(str(error))
                await asyncio.sleep(_RETRY_SECONDS if self.failure else 0)
        except asyncio.CancelledError:
            if child is not None:
                child.close()
            raise
        else:
            self._recovered()
            self._offer(zygote, child)
        finally:
            self._spawning -= 1
            self._wanted.set()

    def _offer(self, zygote: Zygote, child: Child) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        if zygote is self._zygote:
            self._idle.append((zygote, child))
        else:
            child.close()

    def _failed(self, why: str) -> None:
        self._failures += 1
        logger.error("no sandbox could be made: %s", why)
        if self._failures >= _FAILURES_BEFORE_UNHEALTHY:
            self.failure = f"{self._failures} attempts in a row to make a sandbox failed: {why}"
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(PoolUnavailableError(self.failure))

    def _recovered(self) -> None:
        self._failures = 0
        self.failure = None

    async def _keep_fresh(self) -> None:
        """Replace idle children and the zygote when they are old or used up."""
        while True:
            await asyncio.sleep(min(_KEEPER_SECONDS, self._child_max_age, self._zygote_max_age))
            now = time.monotonic()
            zygote = self._zygote
            if zygote is not None and (
                zygote.forks >= self._zygote_max_forks or now - zygote.born >= self._zygote_max_age
            ):
                await self._recycle(zygote)
            while self._idle and now - self._idle[0][1].born >= self._child_max_age:
                self._idle.popleft()[1].close()
                self._wanted.set()
            for retired in list(self._retired):
                retired.retire()

    async def _recycle(self, old: Zygote) -> None:
        try:
            await self._new_zygote()
        except (OSError, ZygoteStartError) as error:
            self._failed(str(error))
            return
        logger.info("zygote %d is replaced after %d forks", old.pid, old.forks)
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
