"""The report of ``codemode-executor --probe``, made without serving."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codemode.config import ExecutorConfig, Tier
from codemode.executor.host.control_groups import Cgroups
from codemode.executor.host.isolation import TIERS, Isolation, choose
from codemode.executor.pool.pool import IsolationBrokenError, Pool
from codemode.executor.pool.pools import Pools, exposed_folders
from codemode.executor.streams.canaries import run_canaries

__all__ = ["ProbeReport", "probe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """The isolation that this host offers, and whether it holds.

    ``canaries`` has the fault of each canary by name, empty for one that passed.
    """

    isolation: Isolation
    min_tier: Tier
    cgroups: str
    canaries: Mapping[str, str]

    @property
    def meets_minimum(self) -> bool:
        """Whether the tier is at least the lowest that may serve."""
        return TIERS.index(self.isolation.tier) <= TIERS.index(self.min_tier)

    @property
    def ok(self) -> bool:
        """Whether an executor would serve here."""
        return self.meets_minimum and not any(self.canaries.values())

    def as_json(self) -> str:
        """Return the report as one JSON object; the times of the layers are in microseconds."""
        isolation = self.isolation
        return json.dumps(
            {
                "ok": self.ok,
                "tier": isolation.name,
                "min_tier": self.min_tier,
                "reasons": dict(isolation.reasons),
                "landlock_abi": isolation.landlock_abi,
                "cgroups": self.cgroups,
                "layers": dict(isolation.layers_us),
                "canaries": {
                    name: {"passed": False, "detail": fault} if fault else {"passed": True}
                    for name, fault in self.canaries.items()
                },
                "gaps": list(isolation.gaps),
            }
        )

    def as_table(self) -> str:
        """Return the report as a table for a person."""
        isolation = self.isolation
        verdict = "serves" if self.ok else "REFUSES to serve"
        rows = [
            ("tier", f"{isolation.name}; with min_tier {self.min_tier} the executor {verdict}"),
            ("landlock", f"ABI {isolation.landlock_abi}" if isolation.landlock_abi else "none"),
            ("cgroups", self.cgroups),
            *((f"not {tier}", reason) for tier, reason in isolation.reasons.items()),
        ]
        failed = sum(map(bool, self.canaries.values()))
        passed = len(self.canaries) - failed
        return "\n".join(
            [
                *_aligned(rows),
                "",
                f"layers, in the order in which they are applied ({_total(isolation)} us)",
                *_aligned([(n, f"{us:7.1f} us") for n, us in isolation.layers_us.items()], "  "),
                "",
                f"canaries ({passed} passed, {failed} failed)",
                *_aligned([(n, fault or "passed") for n, fault in self.canaries.items()], "  "),
                "",
                "what this tier leaves open",
                *(f"  {gap}" for gap in isolation.gaps),
            ]
        )


async def probe(config: ExecutorConfig) -> ProbeReport:
    """Try the tiers, start the sandboxes as for serving and run the canaries in them.

    Raises ConfigurationError when this host does not offer the configured tier,
    and ZygoteStartError.
    """
    isolation = await choose(
        "unsafe", config.ceilings, tier=config.tier, exposed=exposed_folders(config)
    )
    canaries: dict[str, str] = {}
    one_child = config.model_copy(update={"pool_size": 1})
    cgroups = Cgroups()
    detail = cgroups.detail
    try:
        for pool in Pools(one_child, isolation, cgroups, run_canaries):
            for name, fault in (await _try(pool)).items():
                shown = f"profile {pool.terms.profile.name!r}: {fault}" if fault else ""
                canaries[name] = canaries.get(name) or shown
    finally:
        await asyncio.to_thread(cgroups.close)
    return ProbeReport(
        isolation=isolation, min_tier=config.min_tier, cgroups=detail, canaries=canaries
    )


async def _try(pool: Pool) -> Mapping[str, str]:
    try:
        await pool.start()
        return pool.canaries
    except IsolationBrokenError as error:
        return error.canaries
    finally:
        await pool.close()


def _aligned(rows: Sequence[tuple[str, str]], indent: str = "") -> list[str]:
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{indent}{name:<{width}}  {text}" for name, text in rows]


def _total(isolation: Isolation) -> str:
    return f"{sum(isolation.layers_us.values()):.0f}"
