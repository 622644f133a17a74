"""Where attacks run: a served tier, and the bait that they must not touch."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

from codemode import ClientConfig, Codemode, ExecutorConfig, Limits
from codemode.config import CEILINGS, Tier
from codemode.executor.host import isolation
from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT
from codemode.executor.host.control_groups import Cgroups
from codemode.executor.serving import server
from codemode.executor.serving.server import ExecutorServer
from codemode.sandbox.lockdown import view
from tests.codemode.sandbox.attacks.attack import Attack, batch, outcome_of, program
from tests.codemode.sandbox.attacks.probes_limits import DISK_BYTES
from tests.support.paths import ROOT
from tests.support.processes import descendants, ending_all_it_starts

__all__ = ["Bait", "attack_all", "serving"]

_PLANTED = b"secret"
_SECRET = "k3y-of-the-executor"


@contextlib.asynccontextmanager
async def serving(
    tier: Tier, without: Iterable[str] = (), **options: Any
) -> AsyncIterator[tuple[Codemode, ExecutorServer]]:
    """Serve a tier from this process, or with layers left out, which no canary then sees.

    Without control groups, which would hide what a tier holds by itself.
    """
    ceilings = CEILINGS.model_copy(update={"max_disk_bytes": DISK_BYTES})
    with (
        ending_all_it_starts(),
        tempfile.TemporaryDirectory(prefix="cm-test-") as folder,
        contextlib.ExitStack() as stack,
    ):
        stack.enter_context(mock.patch.object(server, "Cgroups", return_value=Cgroups(["none"])))
        if without:
            stack.enter_context(_left_out(frozenset(without)))
        url = f"unix:{folder}/socket"
        config = ExecutorConfig(
            **{"listen": (url,), "tier": tier, "min_tier": tier, "ceilings": ceilings, **options}
        )
        client = ClientConfig(executor_url=url)
        async with (
            ExecutorServer(config) as serves,
            Codemode.from_client_config(client) as codemode,
        ):
            yield codemode, serves


# What the host offers with all layers; it is not asked again for each that is left out.
_offered: dict[Tier, isolation.Isolation] = {}


@contextlib.contextmanager
def _left_out(without: frozenset[str]) -> Any:
    async def choose(
        min_tier: Tier, ceilings: Limits, *, tier: Tier, **options: Any
    ) -> isolation.Isolation:
        if tier not in _offered:
            _offered[tier] = await isolation.choose(min_tier, ceilings, tier=tier, **options)
        found = _offered[tier]
        settings = dataclasses.replace(found.settings, without=tuple(sorted(without)))
        return dataclasses.replace(found, settings=settings)

    async def no_canaries(*_: Any) -> Mapping[str, str]:
        return {}

    with (
        mock.patch.object(server, "choose", choose),
        mock.patch.object(server, "run_canaries", no_canaries),
    ):
        yield


class Bait:
    """Plant what attacks aim at, in this user's name, and tell whether any was hit."""

    def __init__(self) -> None:
        # Not below /tmp, which a sandbox has of its own.
        self.folder = Path(tempfile.mkdtemp(prefix="cm-bait-", dir="/var/tmp"))
        self.file = self.folder / "planted"
        self._sockets = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.file.write_bytes(_PLANTED)
        self.file.chmod(0o666)
        self.folder.chmod(0o777)
        self.datagrams = self._socket(socket.SOCK_DGRAM, str(self.folder / "datagrams"))
        self.streams = self._socket(socket.SOCK_STREAM, str(self.folder / "streams"))
        self.abstract = self._socket(socket.SOCK_STREAM, f"\0cm-bait-{os.getpid()}-{id(self)}")
        for path in self.folder.iterdir():
            path.chmod(0o666)
        self.udp = self._socket(socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self.tcp = self._socket(socket.SOCK_STREAM, ("127.0.0.1", 0))
        self.victim = subprocess.Popen(
            ["sleep", "1000"],
            env={"CODEMODE_EXECUTOR_API_KEY": _SECRET, "PATH": os.environ["PATH"]},
        )
        self._before = self._look()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sockets.close()
        self.victim.kill()
        self.victim.wait()
        shutil.rmtree(self.folder)

    def inputs(self) -> dict[str, Any]:
        """Return what the attacking code is told, so that it need not guess."""
        return {
            "FILE": str(self.file),
            "FOLDER": str(self.folder),
            "DATAGRAMS": str(self.folder / "datagrams"),
            "STREAMS": str(self.folder / "streams"),
            "ABSTRACT": self.abstract.getsockname().decode("latin1"),
            "UDP": self.udp.getsockname()[1],
            "TCP": self.tcp.getsockname()[1],
            "VICTIM": self.victim.pid,
            "EXECUTOR": os.getpid(),
            "ZYGOTES": descendants(os.getpid()),
            # What is for the interpreter alone, the zygote has removed.
            "ENVIRONMENT": sorted(CLEAN_ENVIRONMENT.keys() - {"PYTHONHASHSEED"}),
            "VIEW": [*view.read_only_folders(), "/dev", "/etc", "/tmp"],
            "PROJECT": [str(ROOT / "pyproject.toml"), str(ROOT / "tests" / "settings.py")],
            "SECRET": _SECRET[::-1],
        }

    def hits(self) -> list[str]:
        """Return what has changed or arrived."""
        now = self._look()
        hits = [
            f"{name}: {now[name]} was {was}"
            for name, was in self._before.items()
            if now[name] != was
        ]
        for name in ("datagrams", "udp"):
            with contextlib.suppress(BlockingIOError):
                hits.append(f"{name}: {getattr(self, name).recv(100)!r}")
        for name in ("streams", "abstract", "tcp"):
            with contextlib.suppress(BlockingIOError):
                getattr(self, name).accept()[0].close()
                hits.append(f"{name}: a connection")
        return hits

    def _look(self) -> dict[str, Any]:
        seen = self.file.stat() if self.file.exists() else None
        return {
            "content": self.file.read_bytes() if seen else None,
            "file": seen and (seen.st_mode, seen.st_uid, seen.st_mtime_ns, seen.st_nlink),
            "attributes": seen and os.listxattr(self.file),
            "folder": (
                self.folder.stat().st_mode,
                sorted(path.name for path in self.folder.iterdir()),
            ),
            "victim": self.victim.poll(),
            "niceness": os.getpriority(os.PRIO_PROCESS, self.victim.pid),
        }

    def _socket(self, kind: int, address: Any) -> socket.socket:
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        made = self._sockets.enter_context(socket.socket(family, kind))
        made.bind(address)
        made.setblocking(False)
        if kind == socket.SOCK_STREAM:
            made.listen()
        return made


async def attack_all(
    codemode: Codemode, attacks: Iterable[Attack], inputs: Mapping[str, Any]
) -> dict[str, str]:
    """Make all attacks; return what came of each by its key."""
    chosen = [attack for attack in attacks if attack.applies]
    together = [attack for attack in chosen if not attack.alone]
    words: dict[str, str] = {}
    if together:
        result = await codemode.run_async(batch(together), inputs=inputs, execution_timeout=300)
        if result.ok:
            words |= result.value
        else:
            words |= dict.fromkeys(
                (attack.key for attack in together), f"the batch: {result.error}"
            )
    few = asyncio.Semaphore(4)

    async def alone(attack: Attack) -> None:
        async with few:
            limits = Limits(**attack.limits)
            result = await codemode.client.execute_async(
                program(attack),
                [],
                limits.model_dump(include=set(attack.limits)) or None,
                inputs=inputs,
                execution_timeout=attack.seconds,
            )
            words[attack.key] = outcome_of(result)

    await asyncio.gather(*(alone(attack) for attack in chosen if attack.alone))
    return words
