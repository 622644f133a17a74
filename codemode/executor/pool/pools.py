"""The pools of an executor: one for each profile, started on first use."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from codemode.config import ExecutorConfig
from codemode.errors.base import ConfigurationError
from codemode.executor.host.control_groups import Cgroups
from codemode.executor.host.isolation import Isolation
from codemode.executor.pool.packages import Packages, check_folder, installed
from codemode.executor.pool.pool import Pool, PoolUnavailableError, Prover, Upkeep
from codemode.executor.pool.profiles import PROFILES, Profile
from codemode.executor.pool.sandbox_numbers import SandboxNumbers
from codemode.executor.pool.zygotes import ZygoteStartError, ZygoteTerms
from codemode.interpreter import InterpreterNotFoundError

__all__ = ["Pools", "UnknownProfileError", "exposed_folders"]


class UnknownProfileError(ValueError):
    """A profile that this executor does not offer; the message names those that it does."""


class Pools:
    """The profiles that this executor offers, and their pools.

    The pools of ``warm_profiles`` start with the executor. Any other pool starts
    with the first execution that asks for its profile and waits for the start.
    """

    def __init__(
        self,
        config: ExecutorConfig,
        isolation: Isolation,
        cgroups: Cgroups,
        prover: Prover,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._isolation = isolation
        self._cgroups = cgroups
        self._prover = prover
        self._on_change = on_change
        self._packages = _offered(config)
        self._numbers = SandboxNumbers(isolation.tier)
        self._started: dict[str, Pool] = {}
        self._starting: dict[str, asyncio.Task[Pool]] = {}

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Return the offered profiles by name, whether their pools have started or not."""
        return {name: PROFILES[name] for name in self._packages}

    @property
    def serving(self) -> bool:
        """Whether each pool that has started can supply sandboxes."""
        return all(pool.serving for pool in self._started.values())

    async def start(self) -> None:
        """Start the pools of ``warm_profiles``.

        Raises ConfigurationError and ZygoteStartError.
        """
        names = dict.fromkeys(self._config.warm_profiles)
        for name in names:
            try:
                self.check(name)
            except UnknownProfileError as error:
                raise ConfigurationError(f"warm_profiles: {error}") from None
        await asyncio.gather(*(self._start(name) for name in names))

    def check(self, name: str) -> None:
        """Raise UnknownProfileError when the profile is not offered."""
        if name in self._packages:
            return
        offered = ", ".join(sorted(self._packages))
        if (profile := PROFILES.get(name)) is not None:
            raise UnknownProfileError(
                f"the profile {name!r} needs {' and '.join(profile.distributions)}, which are not "
                f"installed beside this executor; it has: {offered}"
            )
        raise UnknownProfileError(f"there is no profile {name!r}; this executor has: {offered}")

    async def get(self, name: str) -> Pool:
        """Return the pool of an offered profile, started. Raises PoolUnavailableError."""
        if name in self._started:
            return self._started[name]
        if name not in self._starting:
            self._starting[name] = asyncio.create_task(self._start(name))
        try:
            # The first execution that asked may be cancelled; the others still wait.
            return await asyncio.shield(self._starting[name])
        except (OSError, ZygoteStartError, InterpreterNotFoundError) as error:
            raise PoolUnavailableError(f"the profile {name!r} does not start: {error}") from error

    def __getitem__(self, name: str) -> Pool:
        return self._started[name]

    def __iter__(self) -> Iterator[Pool]:
        """Yield a new pool of each offered profile; the caller starts and closes it."""
        return map(self._make, self._packages)

    async def close(self) -> None:
        """Kill every sandbox and zygote."""
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await asyncio.gather(*(pool.close() for pool in self._started.values()))

    async def _start(self, name: str) -> Pool:
        try:
            pool = self._make(name)
            try:
                await pool.start()
            except BaseException:
                await pool.close()
                raise
        finally:
            self._starting.pop(name, None)
        self._started[name] = pool
        return pool

    def _make(self, name: str) -> Pool:
        config = self._config
        terms = ZygoteTerms(
            profile=PROFILES[name],
            packages=self._packages[name],
            sandbox=self._isolation.settings,
            limits=config.limits,
            cgroups=self._cgroups,
            numbers=self._numbers,
        )
        upkeep = Upkeep(
            size=config.warm_children,
            child_max_age=config.child_max_age,
            zygote_max_forks=config.zygote_max_forks,
            zygote_max_age=config.zygote_max_age,
        )
        return Pool(terms, upkeep, prover=self._prover, on_change=self._on_change)


def exposed_folders(config: ExecutorConfig) -> tuple[str, ...]:
    """Return the folders that the configuration exposes. Raises ConfigurationError."""
    return tuple(map(str, _folders(config)))


def _folders(config: ExecutorConfig) -> list[Path]:
    return [check_folder(folder) for folder in config.packages]


def _offered(config: ExecutorConfig) -> dict[str, Packages]:
    """Return the packages of each profile whose distributions are installed."""
    folders = _folders(config)
    found = {}
    for name, profile in PROFILES.items():
        try:
            found[name] = installed(profile.distributions, folders)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
