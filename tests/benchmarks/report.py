"""The figures as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

import grpc

from codemode import Codemode
from tests.benchmarks.figure import Figure

__all__ = ["as_json", "conditions", "table"]

_HEADER = (
    "figure", "p50", "p95", "min", "max", "n", "unit", "floor", "ratio", "target", "reached",
    "CPU client", "CPU executor",
)  # fmt: skip


def conditions() -> dict[str, Any]:
    """Return the conditions under which the figures are measured."""
    with Codemode() as codemode:
        info = codemode.client.info()
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "isolation": info.isolation,
        "load_average": round(os.getloadavg()[0], 2),
    }


def as_json(figures: Sequence[Figure], circumstances: dict[str, Any]) -> dict[str, Any]:
    """Return the conditions and all figures as plain values."""
    return {"conditions": circumstances, "figures": [figure.as_json() for figure in figures]}


def table(figures: Sequence[Figure]) -> str:
    """Return a Markdown table with one row per figure, aligned to be readable as plain text."""
    rows = [_HEADER, *map(_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    series = figure.series
    alone = series.n == 1
    return (
        figure.name,
        _number(series.p50),
        "" if alone else _number(series.p95),
        "" if alone else _number(series.min),
        "" if alone else _number(series.max),
        str(series.n),
        figure.unit,
        f"{_number(figure.floor.p50)} ({figure.floor_of})" if figure.floor else "",
        "" if figure.ratio is None else f"{figure.ratio:.1f}",
        ", ".join(map(str, figure.targets)),
        {True: "yes", False: "NO", None: ""}[figure.reached],
        _number(figure.client_cpu_ms),
        _number(figure.executor_cpu_ms),
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
