"""Each layer holds something: with it left out, something gets through."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from codemode.config import CEILINGS, Tier
from codemode.errors import ExecutorConnectionError
from codemode.executor.host import limits
from codemode.executor.host.limits import sandbox_settings
from codemode.executor.pool.zygotes import ZygoteStartError
from codemode.sandbox.lockdown.boot import SHARED_LAYERS
from codemode.sandbox.lockdown.layers import LAYERS
from tests.codemode.sandbox.attacks.battlefield import Bait, serving
from tests.codemode.sandbox.attacks.mutations import MUTATIONS, Proof
from tests.support.hosts import needs_tier
from tests.support.mutations import Mutation

CASES = [(cast(Tier, tier), mutation) for mutation in MUTATIONS for tier in mutation.proof.tiers]

REDUNDANT = {
    # The kernel kills a PID namespace with its first process.
    ("A", "die_with_zygote"),
    # A user's change to another one gives up every capability; without
    # no_new_privs Landlock and seccomp refuse, and so the start.
    ("B", "no_privileges"),
    # Without a folder to own, user_of_number refuses, and so the start.
    ("B", "work_folder"),
    # Nothing in the view shows control groups.
    ("A", "cgroup_namespace"),
    # Each run lowers it to 0 again, and the process is not dumpable.
    *((tier, "RLIMIT_CORE") for tier in "ABC"),
}
# In tests/codemode/sandbox/attacks/test_lifetime.py and below.
ELSEWHERE = {
    ("A", "mount_namespace"),
    ("A", "pid_namespace"),
    ("B", "die_with_zygote"),
    ("C", "die_with_zygote"),
}


Setting = tuple[Tier, frozenset[str]]
LayerMutation = Mutation[Proof]
Outcomes = Callable[[Tier, LayerMutation, frozenset[str]], str]


def _settings(tier: Tier, mutation: LayerMutation) -> Iterator[Setting]:
    """Yield what has to be left out for a mutation to tell what it has to tell."""
    yield tier, mutation.proof.besides
    yield tier, mutation.proof.besides | {mutation.name}
    yield tier, frozenset({mutation.name})


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """Serve each setting once, make all trials that want it there, and remember their words."""
    known: dict[Setting, dict[LayerMutation, str]] = {}

    async def serve(setting: Setting) -> dict[LayerMutation, str]:
        tier, without = setting
        wanted = [m for t, m in CASES if t == tier and setting in _settings(tier, m)]
        words = {}
        async with serving(tier, without or {"nothing"}) as (codemode, _):
            for mutation in wanted:
                with Bait() as bait:
                    words[mutation] = await mutation.proof.trial(codemode, bait.inputs())
        return words

    def outcome(tier: Tier, mutation: LayerMutation, without: frozenset[str]) -> str:
        if (tier, without) not in known:
            with pytest.MonkeyPatch.context() as patched:
                # The executor grants more than its ceilings: only the kernel's limits count.
                patched.setattr(limits, "_checked", lambda name, value, ceiling: value)
                known[tier, without] = asyncio.run(serve((tier, without)))
        return known[tier, without][mutation]

    return outcome


@pytest.mark.deep
@pytest.mark.parametrize(
    "tier, mutation", CASES, ids=[f"{m.name}-{t}-{i}" for i, (t, m) in enumerate(CASES)]
)
def test_without_the_layer_something_gets_through(
    outcomes: Outcomes, tier: Tier, mutation: LayerMutation
) -> None:
    needs_tier(tier)
    if (tier, mutation.name) == ("C", "no_privileges") and os.geteuid():
        pytest.skip("without no_new_privs Landlock refuses all but root, and so the start")
    besides, layer = mutation.proof.besides, frozenset({mutation.name})
    assert outcomes(tier, mutation, besides) == mutation.proof.held
    assert outcomes(tier, mutation, besides | layer) in mutation.proof.through.split("|")
    if besides:
        assert outcomes(tier, mutation, layer) == mutation.proof.covered


def test_every_layer_of_every_tier_is_left_out_once() -> None:
    layers = {(tier, layer.__name__) for tier in "ABC" for layer in LAYERS[tier]}
    layers |= {("A", name) for name in SHARED_LAYERS}
    for tier in "ABC":
        settings = sandbox_settings(tier, CEILINGS)
        # Only where the user has one, in tier C: see tests/codemode/executor/host/test_isolation.py.
        layers |= {(tier, name) for name in settings.rlimits if name != "RLIMIT_NPROC"}
    tried_here = {(tier, mutation.name) for tier, mutation in CASES}
    assert layers == tried_here | REDUNDANT | ELSEWHERE


@pytest.mark.parametrize("layer", ["no_privileges", "work_folder"])
def test_tier_b_does_not_start_without(layer: str) -> None:
    needs_tier("B")

    async def start() -> None:
        async with serving("B", {layer}) as (codemode, _):
            with pytest.raises(ExecutorConnectionError, match="sandbox start failed"):
                await codemode.run_async("1")

    asyncio.run(start())


@pytest.mark.parametrize("layer", ["mount_namespace", "pid_namespace"])
def test_tier_a_does_not_start_without(layer: str) -> None:
    needs_tier("A")

    async def start() -> None:
        async with serving("A", {layer}) as (codemode, _):
            await codemode.run_async("1")

    with pytest.raises((ZygoteStartError, ExecutorConnectionError)):
        asyncio.run(start())
