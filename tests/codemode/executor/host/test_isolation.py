"""An executor on hosts that lack something serves at the best tier, with a log line, or refuses."""

from __future__ import annotations

import errno
import itertools
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from codemode import ClientConfig, Codemode, ExecutionResult
from codemode.config import CEILINGS, Tier
from codemode.errors import ConfigurationError
from codemode.executor.host.isolation import GAPS, SECCOMP_PROFILE, TIERS, choose
from codemode.sandbox.lockdown import policy
from codemode.sandbox.lockdown.syscall_numbers import NUMBERS
from tests.support.containers import (
    CONTAINER_CAPABILITIES,
    LANDLOCK_CALLS,
    LESSER_HOST,
    NOBODY,
    container,
)
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.paths import ROOT
from tests.support.processes import descendants, is_running, wait_until
from tests.support.resolvers import RESOLVERS

pytestmark = pytest.mark.skipif(
    platform.machine() not in NUMBERS, reason="no system call table for this machine"
)


def _others_may_enter(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not _others_may_enter(Path(sys.executable)),
    reason="needs root, and a Python that other users reach: it becomes another user",
)


class Outcome(NamedTuple):
    """The start of an executor: its exit status, or the outcome of a run there."""

    status: int | None
    log: str
    isolation: str
    value: Any


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="cm-test-"))
    path.chmod(0o711)  # the user of a sandbox works in a folder below it
    yield path
    shutil.rmtree(path)


def ask(codemode: Codemode) -> ExecutionResult:
    return codemode.run("import os\n(sum(range(10)), os.getuid())")


def start(
    folder: Path,
    spec: Mapping[str, Any],
    *options: str,
    use: Callable[[Codemode], ExecutionResult] = ask,
) -> Outcome:
    """Start an executor on a lesser host, run something, stop it; it must leave nothing behind."""
    if "uid" in spec:
        os.chown(folder, spec["uid"], spec["uid"])
    address = f"unix:{folder / 'socket'}"
    ready, ready_write = os.pipe()
    log_path = folder / "log"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CODEMODE_")}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, str(LESSER_HOST)),
                *(json.dumps(spec), sys.executable, "-m", "codemode.executor"),
                *("--listen", address, "--ready-fd", str(ready_write), "--pool-size", "1"),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(ready_write,),
            env={**inherited, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
            cwd=folder,
        )
    os.close(ready_write)
    try:
        with os.fdopen(ready, "rb") as pipe:
            if pipe.read(5) != b"ready":
                return Outcome(process.wait(60), log_path.read_text(), "", None)
        with Codemode.from_client_config(ClientConfig(executor_url=address)) as codemode:
            result = use(codemode)
        return Outcome(None, log_path.read_text(), result.isolation, result.value)
    finally:
        below = descendants(process.pid)
        process.terminate()
        process.wait(60)
        assert wait_until(lambda: not any(map(is_running, below)))
        assert [path.name for path in folder.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("who, tier", [({}, "B"), ({"uid": NOBODY}, "C")])
@needs_root
def test_executor_in_a_usual_container_serves_at_the_tier_it_offers(
    folder: Path, who: dict[str, Any], tier: Tier
) -> None:
    needs_tier("C")
    outcome = start(folder, container(**who), "--min-tier", "C")
    assert outcome.status is None, outcome.log
    assert (outcome.isolation, outcome.value[0]) == (tier, 45)
    assert (61_000 < outcome.value[1] < 63_002) is (tier == "B"), "the user of a sandbox"
    warnings = [line for line in outcome.log.splitlines() if " WARNING " in line]
    assert f"isolation: tier {tier}, which leaves open: {'; '.join(GAPS[tier])}" in warnings[0]
    assert "not A: prepare: [Errno 1] unshare(CLONE_NEWUSER)" in warnings[0]


@pytest.mark.parametrize("who, tier", [({}, "B"), ({"uid": NOBODY}, "C")])
@needs_root
def test_below_the_minimum_nothing_is_served(folder: Path, who: dict[str, Any], tier: Tier) -> None:
    needs_tier("C")
    outcome = start(folder, container(**who))  # the default minimum is A
    assert outcome.status == 3
    for part in (
        f"Sandbox unavailable: this host offers tier {tier}, but min_tier",
        "(CODEMODE_EXECUTOR_MIN_TIER) is A",
        "A: prepare: [Errno 1] unshare(CLONE_NEWUSER): Operation not permitted",
        "kernel.apparmor_restrict_unprivileged_userns",
        "Fix: ",
        "sandbox-seccomp.json",
        f"set the minimum to '{tier}' and accept: {GAPS[tier][0]}",
        "Refusing to run untrusted code",
    ):
        assert part in outcome.log
    if tier == "C":
        assert "B: user_of_number: [Errno 1]" in outcome.log
        assert "likely: the executor does not run as root" in outcome.log


@pytest.mark.parametrize("minimum", ["A", "B", "C"])
@pytest.mark.parametrize("number", deep_except([errno.ENOSYS, errno.EOPNOTSUPP], errno.ENOSYS))
def test_without_namespaces_and_landlock_every_tier_refuses(
    folder: Path, minimum: str, number: int
) -> None:
    outcome = start(folder, container(landlock=number), "--min-tier", minimum)
    assert outcome.status == 3
    expected = (
        f"this host offers no isolation, but min_tier (CODEMODE_EXECUTOR_MIN_TIER) is {minimum}"
    )
    assert expected in outcome.log
    assert "landlock_files: [Errno 95]" in outcome.log
    assert "Landlock is not built in or not in the kernel's lsm= list" in outcome.log
    assert "the code has the rights, the files and the network of this user" in outcome.log


def test_unsafe_is_an_explicit_choice_with_a_banner(folder: Path) -> None:
    spec = container(landlock=errno.EOPNOTSUPP)
    outcome = start(folder, spec, "--min-tier", "unsafe")
    assert outcome.status is None, outcome.log
    assert (outcome.isolation, outcome.value[0]) == ("none", 45)
    banner, why = [line for line in outcome.log.splitlines() if " WARNING " in line]
    assert "NO ISOLATION: run only code that you would run yourself" in banner
    for part in (GAPS["unsafe"][0], "not A: ", "not B: ", "not C: "):
        assert part in why


def test_namespaces_suffice_without_landlock(folder: Path) -> None:
    needs_tier("A")
    spec = {"answers": dict.fromkeys(LANDLOCK_CALLS, errno.EOPNOTSUPP)}
    outcome = start(folder, spec)
    assert (outcome.status, outcome.isolation) == (None, "A"), outcome.log


@pytest.mark.parametrize(
    "number, cause",
    [
        (errno.EPERM, "kernel.unprivileged_userns_clone"),
        (errno.EACCES, "AppArmor or another security module"),
        (errno.ENOSPC, "user.max_user_namespaces is used up or 0"),
        (errno.EINVAL, "chroot"),
        (errno.ENOSYS, "gVisor"),
    ],
)
def test_each_errno_is_explained(folder: Path, number: int, cause: str) -> None:
    outcome = start(folder, {"answers": {"unshare": number}}, "--tier", "A")
    assert outcome.status == 3
    assert f"A: prepare: [Errno {number}] unshare(CLONE_NEWUSER)" in outcome.log
    assert cause in outcome.log.partition("(likely: ")[2]


def test_executor_on_a_kernel_without_pidfds_serves_nothing(folder: Path) -> None:
    """Such a kernel was that of gVisor in July 2024."""
    outcome = start(folder, {"answers": {"pidfd_open": errno.ENOSYS}}, "--min-tier", "unsafe")
    assert outcome.status == 3
    for tier in TIERS:
        assert f"{tier}: prepare: [Errno 38] pidfd_open: Function not implemented" in outcome.log
    assert "a sandbox around this one such as gVisor, lacks the call" in outcome.log


@pytest.mark.parametrize("missing", deep_except(["mount", "pivot_root"], "mount"))
def test_namespaces_without_mounts_are_not_tier_a(folder: Path, missing: str) -> None:
    """On some hosts AppArmor allows the creation of a user namespace and denies its use."""
    needs_tier("C")
    outcome = start(folder, {"answers": {missing: errno.EACCES}}, "--min-tier", "C")
    assert outcome.status is None, outcome.log
    assert outcome.isolation in {"B", "C"}
    assert f"not A: prepare: [Errno 13] {missing}" in outcome.log
    assert "AppArmor or another security module forbids it" in outcome.log


HOG = """
import _thread, time
_thread.stack_size(32768)
try:
    while True:
        _thread.start_new_thread(time.sleep, (600,))
except RuntimeError:
    result = others()
"""


@needs_root
def test_sandbox_that_takes_the_users_threads_leaves_enough_to_start_others(folder: Path) -> None:
    needs_tier("C")

    def use(codemode: Codemode) -> ExecutionResult:
        def others() -> list[str]:
            return [codemode.run("1").status for _ in range(4)]

        codemode.registry.register_tool("others", others)
        return codemode.run(HOG)

    # A user without other processes and without control groups.
    spec = {"uid": 54_321, "threads": 200}
    outcome = start(folder, spec, "--tier", "C", "--min-tier", "C", use=use)
    assert outcome.value == ["completed"] * 4, outcome.log
    (warning,) = [line for line in outcome.log.splitlines() if "control groups:" in line]
    assert " WARNING " in warning
    assert warning.endswith("; one sandbox can take all the threads that this user may have")


DISPENSABLE = {
    "RLIMIT_MEMLOCK": resource.RLIMIT_MEMLOCK,
    "RLIMIT_MSGQUEUE": resource.RLIMIT_MSGQUEUE,
    "RLIMIT_SIGPENDING": resource.RLIMIT_SIGPENDING,
}


@pytest.mark.parametrize("tier", deep_except(["A", "C"], "A"))
def test_dispensable_features_are_named_where_the_host_refuses_them(
    folder: Path, tier: Tier
) -> None:
    """Container runtimes refuse to set the host's name, and gVisor some resource limits."""
    needs_tier(tier)
    spec = {
        "answers": {"sethostname": errno.EPERM},
        "refused_limits": [*DISPENSABLE.values()],
    }
    outcome = start(folder, spec, "--tier", tier, "--min-tier", tier)
    assert (outcome.status, outcome.isolation) == (None, tier), outcome.log
    (warning,) = [line for line in outcome.log.splitlines() if " WARNING " in line]
    for name in [*DISPENSABLE, *(["sethostname"] if tier == "A" else [])]:
        assert f"({name})" in warning.partition("which leaves open: ")[2]


@pytest.mark.parametrize("limit", ["RLIMIT_CORE", "RLIMIT_FSIZE"])
def test_limit_behind_a_promise_is_indispensable(folder: Path, limit: str) -> None:
    needs_tier("C")
    spec = {"refused_limits": [getattr(resource, limit)]}
    outcome = start(folder, spec, "--tier", "C", "--min-tier", "C")
    assert outcome.status == 3
    assert "C: ceilings: not allowed to raise maximum limit" in outcome.log


@needs_root
def test_executor_that_may_be_killed_before_its_sandboxes_is_reported() -> None:
    needs_tier("C")
    probe = "-m codemode.executor --probe --json --tier C --min-tier C"
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c"),
            f"mount -o remount,bind,ro /proc && exec {sys.executable} {probe}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    (gap,) = set(json.loads(done.stdout)["gaps"]) - set(GAPS["C"])
    assert "(oom_score_adj)" in gap


@pytest.mark.deep
@needs_root
@pytest.mark.parametrize(
    "who",
    [
        {"capabilities": CONTAINER_CAPABILITIES},
        {"capabilities": CONTAINER_CAPABILITIES, "uid": NOBODY},
        {"capabilities": [], "uid": NOBODY},
    ],
    ids=["root", "nobody", "without capabilities"],
)
def test_shipped_profile_gives_a_container_tier_a(folder: Path, who: dict[str, Any]) -> None:
    """The profile is loaded as by a container runtime, with its default capabilities."""
    needs_tier("A")
    profile = json.loads(SECCOMP_PROFILE.read_text())
    machine = platform.machine()
    answers: dict[str, Mapping[str, int]] = {}
    for entry in profile["syscalls"]:
        numbers = RESOLVERS["libseccomp"](machine, entry["names"])
        if numbers is None:
            pytest.skip("no libseccomp here that knows all the names")
        answers[entry["action"]] = {**answers.get(entry["action"], {}), **numbers}
    outcome = start(folder, {"only": sorted(answers["SCMP_ACT_ALLOW"].values()), **who})
    assert (outcome.status, outcome.isolation) == (None, "A"), outcome.log
    assert outcome.value[0] == 45


def test_shipped_profile_allows_what_is_needed_and_no_more() -> None:
    profile = json.loads(SECCOMP_PROFILE.read_text())
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    allowed = [
        name
        for entry in profile["syscalls"]
        if entry["action"] == "SCMP_ACT_ALLOW"
        for name in entry["names"]
    ]
    assert len(set(allowed)) == len(allowed)
    assert set(allowed) >= policy.ALLOWED | policy.CHECKED | policy.EACCES_CALLS
    # System calls for which a sandbox is killed are allowed to the executor only as far as tiers A
    # and C need them.
    used = {"unshare", "setns", "mount", "umount2", "pivot_root", "mount_setattr", "sethostname"}
    used |= {"seccomp", "pidfd_send_signal", *LANDLOCK_CALLS}
    assert policy.TRIPWIRES & set(allowed) == used


async def test_tier_that_is_chosen_by_name_is_not_replaced() -> None:
    needs_tier("C")
    chosen = await choose("unsafe", CEILINGS, tier="C")
    assert (chosen.tier, chosen.name) == ("C", "C")
    assert chosen.detail == "; ".join((*GAPS["C"], "chosen by the configuration"))
    with pytest.raises(ConfigurationError, match="offers tier C, but min_tier .* is A"):
        await choose("A", CEILINGS, tier="C")


async def test_best_tier_needs_no_excuse() -> None:
    needs_tier("A")
    before = psutil.Process().children()
    chosen = await choose("A", CEILINGS)
    assert (chosen.tier, chosen.detail) == ("A", "")
    assert set(chosen.layers_us) >= {"private_tmp", "seccomp_filter", "no_privileges"}
    assert psutil.Process().children() == before


def test_weaker_tiers_have_the_gaps_of_stronger_ones_and_more() -> None:
    isolated = [tier for tier in TIERS if tier != "unsafe"]
    for stronger, weaker in itertools.pairwise(isolated):
        assert set(GAPS[stronger]) < set(GAPS[weaker])
