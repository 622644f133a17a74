"""The pools of an executor: one for each profile, started when it is first asked for."""

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
from codemode.executor.pool.pool import Pool, PoolUnavailableError
from codemode.executor.pool.profiles import PROFILES, Profile
from codemode.executor.pool.sandbox_numbers import SlotNumbers
from codemode.executor.pool.zygotes import ZygoteStartError
from codemode.interpreter import InterpreterNotFoundError

__all__ = ["Pools", "UnknownProfileError", "exposed_folders"]


class UnknownProfileError(ValueError):
    """Tell that this executor does not offer a profile, and which it does."""


class Pools:
    """Hold the profiles that are offered here, and their pools.

    Those of ``warm_profiles`` start with the executor, any other with the first
    execution that asks for it; that one waits for it.
    """

    def __init__(
        self,
        config: ExecutorConfig,
        isolation: Isolation,
        cgroups: Cgroups,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._isolation = isolation
        self._cgroups = cgroups
        self._on_change = on_change
        self._packages = _offered(config)
        self._slots = SlotNumbers(isolation.tier)
        self._started: dict[str, Pool] = {}
        self._starting: dict[str, asyncio.Task[Pool]] = {}

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Return the offered profiles by name, whether their pools have started or not."""
        return {name: PROFILES[name] for name in self._packages}

    @property
    def serving(self) -> bool:
        """Tell whether each pool that has started can give sandboxes."""
        return all(pool.serving for pool in self._started.values())

    async def start(self) -> None:
        """Start the pools that are warm from the beginning.

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
            # Whoever asked first may go away; the others still wait.
            return await asyncio.shield(self._starting[name])
        except (OSError, ZygoteStartError, InterpreterNotFoundError) as error:
            raise PoolUnavailableError(f"the profile {name!r} does not start: {error}") from error

    def __getitem__(self, name: str) -> Pool:
        return self._started[name]

    def __iter__(self) -> Iterator[Pool]:
        """Give a new pool of each offered profile, which the caller starts and closes."""
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
        return Pool(
            profile=PROFILES[name],
            packages=self._packages[name],
            size=config.warm_children,
            sandbox=self._isolation.settings,
            limits=config.limits,
            cgroups=self._cgroups,
            slots=self._slots,
            child_max_age=config.child_max_age,
            zygote_max_forks=config.zygote_max_forks,
            zygote_max_age=config.zygote_max_age,
            on_change=self._on_change,
        )


def exposed_folders(config: ExecutorConfig) -> tuple[str, ...]:
    """Return what the configuration shows to every sandbox. Raises ConfigurationError."""
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
