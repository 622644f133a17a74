"""Nothing that hostile code tries gets through, but for what a lower tier is documented to miss."""

from __future__ import annotations

import asyncio
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from codemode.config import Tier
from codemode.executor.host.isolation import GAPS
from tests.codemode.sandbox.attacks.attack import Attack
from tests.codemode.sandbox.attacks.battlefield import Bait, attack_all, serving
from tests.codemode.sandbox.attacks.catalogue import ATTACKS, ELSEWHERE
from tests.support.hosts import offered
from tests.support.paths import ROOT

# The first test of a tier makes all its attacks; a busy machine needs its time for that.
pytestmark = [pytest.mark.deep, pytest.mark.timeout(400)]

Outcomes = Callable[[Tier], tuple[dict[str, str], list[str]]]


_SUMS = "files written to the work folder are bounded one by one, not in sum"
DOCUMENTED = {
    4: "names, sizes and times of files outside can be read (stat), their content cannot",
    45: "a library that the code writes can be loaded into its own process",
    50: _SUMS,
    51: _SUMS,
    55: "without control groups one sandbox can take all the threads that the user may have",
    96: "packages installed for the whole system can be read",
    97: "covert channels: timing, the page cache, fcntl locks and futexes on shared read-only files",
}


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """Make all attacks on a tier once, and remember what came of them and of the bait."""
    known: dict[Tier, tuple[dict[str, str], list[str]]] = {}

    async def attack(tier: Tier) -> tuple[dict[str, str], list[str]]:
        async with serving(tier) as (codemode, _):
            with Bait() as bait:
                words = await attack_all(codemode, ATTACKS, bait.inputs())
                return words, bait.hits()

    def outcomes_of(tier: Tier) -> tuple[dict[str, str], list[str]]:
        if tier not in known:
            known[tier] = asyncio.run(attack(tier))
        return known[tier]

    return outcomes_of


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.key)
def test_attack_is_held(outcomes: Outcomes, tier: Tier, attack: Attack) -> None:
    if not attack.applies:
        pytest.skip(f"the attack is for {attack.machine}")
    words, _ = outcomes(tier)
    assert words[attack.key] in attack.words(tier)


def test_nothing_outside_was_touched(outcomes: Outcomes, tier: Tier) -> None:
    _, hits = outcomes(tier)
    assert hits == []


def test_all_hundred_attacks_are_made() -> None:
    assert {attack.number for attack in ATTACKS} | set(ELSEWHERE) == set(range(1, 101))
    assert len({attack.key for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("number", ELSEWHERE)
def test_attack_made_elsewhere_is_there(number: int) -> None:
    path, name = ELSEWHERE[number]
    assert f"def {name}(" in (ROOT / "tests" / path).read_text()


def test_gaps_are_the_documented_ones(tier: Tier) -> None:
    """Assert that a tier misses what its description names, and nothing else."""
    missed = {attack.number for attack in ATTACKS if tier in attack.gaps}
    expected = {"A": set(), "B": {4, 45, 50, 51, 96}, "C": {4, 45, 50, 51, 55, 96}}[tier]
    assert missed == expected
    for number in missed | {97}:
        assert DOCUMENTED[number] in GAPS[tier]


def test_the_documentation_lists_the_same_gaps() -> None:
    text = (ROOT / "docs" / "operations" / "security.md").read_text()
    section = text.split("## What is not protected")[1].split("Whatever the tier:")[0]
    every, rest = section.split("In tiers B and C also:")
    lower, lowest = rest.split("In tier C also:")
    listed = [
        re.findall(r"^\* \*\*(.+?)\*\*", part, re.MULTILINE | re.DOTALL)
        for part in (every, lower, lowest)
    ]
    found = [tuple(" ".join(gap.split()) for gap in part) for part in listed]
    assert found[0] == GAPS["A"]
    assert (*found[0], *found[1]) == GAPS["B"]
    assert (*found[0], *found[1], *found[2]) == GAPS["C"]


def test_facts_about_the_machine_are_all_that_is_told_of_it(tier: Tier) -> None:
    """Show that this gap is one, and that the name of the machine is not part of it in tier A."""

    async def ask() -> Any:
        async with serving(tier) as (codemode, _):
            code = "import os\nname = os.uname()\n[name.release, name.nodename]"
            return (await codemode.run_async(code)).value

    kernel = "facts about the machine: its kernel's version, load, memory and free disk space"
    assert kernel in GAPS[tier]
    name = "sandbox" if tier == "A" else platform.node()
    assert asyncio.run(ask()) == [platform.release(), name]


def test_tier_a_is_not_skipped_where_the_host_offers_it() -> None:
    """Ask the system's own tool, so that a broken probe cannot hide behind skipped tests."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare command to compare with")
    namespaces = [
        "--user",
        "--map-root-user",
        "--mount",
        "--net",
        "--ipc",
        "--uts",
        "--pid",
        "--fork",
    ]
    mounted = ["mount", "-t", "tmpfs", "none", "/tmp"]
    if subprocess.run([unshare, *namespaces, *mounted], capture_output=True).returncode == 0:
        assert offered("A") == ""
