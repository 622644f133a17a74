"""Start-up times: the import, the embedded executor, the first result."""

from __future__ import annotations

import time
from collections.abc import Iterator

from codemode import Codemode
from codemode.config import ClientConfig
from codemode.embedded.executor import EmbeddedExecutor
from tests.benchmarks.figure import Figure, Series
from tests.benchmarks.floors import python_starts
from tests.benchmarks.subjects import TRIVIAL

__all__ = ["measure"]

_GROUP = "startup"
_FLOOR = "python -c pass"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure each of the three from a cold start."""
    count = 3 if quick else 10
    floor = python_starts("pass", count)
    starts, first_results = [], []
    for _ in range(count):
        began = time.perf_counter()
        executor = EmbeddedExecutor()
        try:
            executor.address()
            starts.append(time.perf_counter() - began)
        finally:
            executor.close()
        began = time.perf_counter()
        with Codemode.from_client_config(ClientConfig()) as codemode:
            codemode.run(TRIVIAL)
            first_results.append(time.perf_counter() - began)
    series = {
        "start of the embedded executor": Series.of(starts, scale=1e3),
        "first result, the executor's start included": Series.of(first_results, scale=1e3),
        "a Python that imports the SDK": python_starts("from codemode import Codemode", count),
    }
    for name, one in series.items():
        yield Figure(group=_GROUP, name=name, unit="ms", series=one, floor=floor, floor_of=_FLOOR)
