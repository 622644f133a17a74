"""The isolation tier that this host offers, found by trying, and why it is not a better one."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codemode.config import Limits, Tier
from codemode.errors.base import ConfigurationError
from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT, PYTHON_FLAGS, import_path
from codemode.executor.host.limits import SandboxSettings, sandbox_settings
from codemode.executor.host.work_folders import WorkFolder
from codemode.interpreter import find_python

__all__ = ["GAPS", "SECCOMP_PROFILE", "TIERS", "Isolation", "choose"]

TIERS: tuple[Tier, ...] = ("A", "B", "C", "unsafe")
"""The tiers, from the strongest to none at all."""

_PROBE_TIMEOUT = 20.0

_GAPS_OF_ALL = (
    "a kernel bug that the allowed system calls can reach",
    "covert channels: timing, the page cache, fcntl locks and futexes on shared read-only files",
    "facts about the machine: its kernel's version, load, memory and free disk space",
)
_GAPS_WITHOUT_NAMESPACES = (
    "names, sizes and times of files outside can be read (stat), their content cannot",
    "packages installed for the whole system can be read",
    "processes share one process and network namespace; signals and sockets are denied",
    "files written to the work folder are bounded one by one, not in sum",
    "a library that the code writes can be loaded into its own process",
)
_GAPS_OF_ONE_USER = (
    "all sandboxes run as the executor's own user",
    "without control groups one sandbox can take all the threads that the user may have",
)

GAPS: Mapping[Tier, tuple[str, ...]] = {
    "A": _GAPS_OF_ALL,
    "B": (*_GAPS_OF_ALL, *_GAPS_WITHOUT_NAMESPACES),
    "C": (*_GAPS_OF_ALL, *_GAPS_WITHOUT_NAMESPACES, *_GAPS_OF_ONE_USER),
    "unsafe": ("everything: the code has the rights, the files and the network of this user",),
}
"""What each tier leaves open."""

_GAPS_OF_HOSTS = {
    "sethostname": "the host's name can be read: this host refuses to change it (sethostname)",
    "oom_score_adj": (
        "when memory runs out the system may kill the executor before a sandbox: this host refuses "
        "to say which goes first (oom_score_adj)"
    ),
    "RLIMIT_MEMLOCK": (
        "memory can be locked, up to the memory limit: this host refuses the limit (RLIMIT_MEMLOCK)"
    ),
    "RLIMIT_MSGQUEUE": (
        "message queues are kept away by the filter alone: this host refuses their limit "
        "(RLIMIT_MSGQUEUE)"
    ),
    "RLIMIT_SIGPENDING": (
        "pending signals are counted for all sandboxes together: this host refuses their limit "
        "(RLIMIT_SIGPENDING)"
    ),
}

SECCOMP_PROFILE = Path(__file__).parents[2] / "sandbox" / "lockdown" / "sandbox-seccomp.json"
"""The seccomp profile for containers whose executor makes user namespaces."""

_CAUSES = {
    errno.EPERM: (
        "a seccomp profile, AppArmor (kernel.apparmor_restrict_unprivileged_userns) or "
        "kernel.unprivileged_userns_clone forbids it"
    ),
    errno.EACCES: "AppArmor or another security module forbids it",
    errno.ENOSPC: "user.max_user_namespaces is used up or 0",
    errno.EINVAL: "the process runs in a chroot, or the kernel lacks the feature",
    errno.ENOSYS: "the kernel, or a sandbox around this one such as gVisor, lacks the call",
    errno.EOPNOTSUPP: "Landlock is not built in or not in the kernel's lsm= list",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """The tier in use, and the reason why each better tier is not.

    ``name`` is the tier as results name it, or ``none``. ``refused`` names the
    parts of the tier that this host refuses.
    """

    tier: Tier
    settings: SandboxSettings
    reasons: Mapping[Tier, str]
    layers_us: Mapping[str, float]
    landlock_abi: int
    refused: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the tier as results name it."""
        return "none" if self.tier == "unsafe" else self.tier

    @property
    def gaps(self) -> tuple[str, ...]:
        """Return what the tier leaves open on this host."""
        return (*GAPS[self.tier], *self._gaps_of_host)

    @property
    def _gaps_of_host(self) -> tuple[str, ...]:
        if self.tier == "unsafe":
            return ()  # "everything" includes them
        return tuple(_GAPS_OF_HOSTS[name] for name in self.refused)

    @property
    def detail(self) -> str:
        """Return what is left open and why the tier is not a better one.

        For the best tier only the gaps of this host count, so the text is usually empty.
        """
        if self.tier == "A":
            return "; ".join(self._gaps_of_host)
        reasons = [f"not {tier}: {reason}" for tier, reason in self.reasons.items()]
        return "; ".join((*self.gaps, *(reasons or ["chosen by the configuration"])))


async def choose(
    min_tier: Tier, ceilings: Limits, *, tier: Tier | None = None, exposed: tuple[str, ...] = ()
) -> Isolation:
    """Return the best tier that the host offers, or the given one.

    ``exposed`` are the paths of packages that its sandboxes must be able to read.

    Raises ConfigurationError when no tier works, or when the tier is below
    ``min_tier``.
    """
    reasons: dict[Tier, str] = {}
    for candidate in TIERS if tier is None else (tier,):
        name = "none" if candidate == "unsafe" else candidate
        settings = sandbox_settings(name, ceilings)
        report = await _try(settings, exposed)
        if report.get("ok"):
            break
        reasons[candidate] = _reason(report)
    else:
        failed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ConfigurationError(f"Sandbox unavailable: {failed}")
    if TIERS.index(candidate) > TIERS.index(min_tier):
        chosen = tier is not None
        raise ConfigurationError(_refusal(candidate, min_tier, reasons, chosen=chosen))
    return Isolation(
        tier=candidate,
        settings=settings,
        reasons=reasons,
        layers_us=report.get("layers_us", {}),
        landlock_abi=report.get("landlock_abi", 0),
        refused=tuple(report.get("refused", ())),
    )


async def _try(settings: SandboxSettings, exposed: tuple[str, ...]) -> Mapping[str, Any]:
    folder = WorkFolder(settings.tier)
    argument = {
        **dataclasses.asdict(settings),
        "exposed": exposed,
        "import_path": import_path(),
        "workdir": str(folder.path / "work"),
    }
    script = Path(__file__).parents[2] / "sandbox" / "lockdown" / "trial.py"
    try:
        process = await asyncio.create_subprocess_exec(
            *(find_python(), *PYTHON_FLAGS, str(script), json.dumps(argument)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=CLEAN_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                output, errors = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return {"ok": False, "failed": "probe", "error": f"no end within {_PROBE_TIMEOUT:g} s"}
    finally:
        folder.remove()
    try:
        report: Mapping[str, Any] = json.loads(output)
    except ValueError:
        last = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it was killed"]
        report = {"ok": False, "failed": "probe", "error": last[0]}
    return report


def _reason(report: Mapping[str, Any]) -> str:
    cause = _CAUSES.get(report.get("errno") or 0)
    match report["failed"], report.get("errno"):
        case "user_of_number", _:
            cause = (
                "the executor does not run as root, or lacks CAP_SETUID, CAP_SETGID or CAP_CHOWN"
            )
        case "landlock_files", errno.EACCES:
            cause = (
                "it lies below a folder that only its owner may enter, such as a home; install "
                "Python and the packages where every user may read them"
            )
    return f"{report['failed']}: {report['error']}" + (f" (likely: {cause})" if cause else "")


def _refusal(tier: Tier, min_tier: Tier, reasons: Mapping[Tier, str], *, chosen: bool) -> str:
    offered = "no isolation" if tier == "unsafe" else f"tier {tier}"
    accept = f"set the minimum to {tier!r} and accept: {'; '.join(GAPS[tier])}"
    refusing = "Refusing to run untrusted code."
    minimum = f"min_tier (CODEMODE_EXECUTOR_MIN_TIER) is {min_tier}"
    if chosen:
        return (
            f"Sandbox unavailable: the configured tier offers {offered}, but {minimum}. Fix: drop "
            f"the setting of the tier, or {accept}. {refusing}"
        )
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return (
        f"Sandbox unavailable: this host offers {offered}, but {minimum}. Not possible are {why}. "
        f"Fix: let the executor make user namespaces (in a container: seccomp={SECCOMP_PROFILE} "
        f"and apparmor=unconfined), or {accept}. {refusing}"
    )
