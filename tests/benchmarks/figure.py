"""Figures: a series of samples, its floor, and the targets to reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Figure", "Series", "Statistic", "Target"]

Statistic = Literal["p50", "p95", "min", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Statistics of the samples of one quantity, all in one unit."""

    p50: float
    p95: float
    min: float
    max: float
    n: int

    @classmethod
    def of(cls, samples: Sequence[float], *, scale: float = 1.0) -> Series:
        """Return the statistics of samples times ``scale``. Raises ValueError if there are none."""
        if not samples:
            raise ValueError("a series needs at least one sample")
        ordered = sorted(sample * scale for sample in samples)
        return cls(
            p50=_quantile(ordered, 0.50),
            p95=_quantile(ordered, 0.95),
            min=ordered[0],
            max=ordered[-1],
            n=len(ordered),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on one statistic of a series, from above or from below."""

    statistic: Statistic
    most: float = math.inf
    least: float = -math.inf

    def reached_by(self, series: Series) -> bool:
        """Return whether the series is within the bound."""
        value: float = getattr(series, self.statistic)
        return self.least <= value <= self.most

    def __str__(self) -> str:
        bound = f"≥ {self.least:g}" if math.isinf(self.most) else f"≤ {self.most:g}"
        return f"{self.statistic} {bound}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row: a measured series beside the minimum that the platform costs.

    ``client_cpu_ms`` and ``executor_cpu_ms`` are CPU time per run. The latter
    includes the zygote and the sandboxes. ``floor_of`` names the floor.
    """

    group: str
    name: str
    unit: str
    series: Series
    floor: Series | None = None
    floor_of: str = ""
    targets: tuple[Target, ...] = ()
    client_cpu_ms: float | None = None
    executor_cpu_ms: float | None = None

    @property
    def ratio(self) -> float | None:
        """The median divided by the floor's median; None without a floor above zero."""
        if self.floor is None or not self.floor.p50:
            return None
        return self.series.p50 / self.floor.p50

    @property
    def reached(self) -> bool | None:
        """Whether every target is reached; None if there are no targets."""
        if not self.targets:
            return None
        return all(target.reached_by(self.series) for target in self.targets)

    def as_json(self) -> dict[str, Any]:
        """Return the whole figure as plain values."""
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            **asdict(self.series),
            "floor": asdict(self.floor) if self.floor else None,
            "floor_of": self.floor_of,
            "ratio": self.ratio,
            "targets": [str(target) for target in self.targets],
            "reached": self.reached,
            "client_cpu_ms": self.client_cpu_ms,
            "executor_cpu_ms": self.executor_cpu_ms,
        }


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the sample at that share of the order, without interpolation."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1 if share else 0)]
