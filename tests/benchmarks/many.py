"""Many tools: registration, a trivial run, a call of one of them, and a search."""

from __future__ import annotations

import time
from collections.abc import Iterator

from codemode import Codemode
from codemode.core import ComponentRegistry
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.sampling import Pace, Subject, alternate
from tests.benchmarks.subjects import TRIVIAL, executor_pid
from tests.support.tool_sets import many
from tests.support.tool_sets.requests import TUNING

__all__ = ["measure"]

_GROUP = "many"
_COUNTS = (8, 200, 2_000)
_CALL = "orders.get(1)"
_SEARCH = f"""
import time
tools.search("refund an order")
took = []
for text in {list(TUNING)}:
    began = time.perf_counter()
    tools.search(text)
    took.append((time.perf_counter() - began) * 1000)
took
"""
_MOST_REGISTRATION = Target(statistic="p50", most=0.3)
_MOST_SEARCH = Target(statistic="p50", most=1)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure executions with 8, 200 and 2,000 tools in turns, by the sync half."""
    pace = Pace(samples=100 if quick else 400, block=50, pause=0.02)
    yield _registration(2 if quick else 5)
    facades = [_facade(count) for count in _COUNTS]
    try:
        for what, code in (("trivial run", TRIVIAL), ("run that calls one", _CALL)):
            subjects = [
                Subject[object](
                    call=lambda facade=facade, code=code: facade.run(code),  # type: ignore[misc]
                    server=executor_pid(facade),
                )
                for facade in facades
            ]
            alternate(subjects, pace)
            for count, subject in zip(_COUNTS, subjects, strict=True):
                yield _figure(f"{what}, {count:,} tools", subject, subjects[0])
        yield from _searches(facades[-1])
    finally:
        for facade in facades:
            facade.close()


def _facade(count: int) -> Codemode:
    facade = Codemode()
    many.register_many(facade.registry, count)
    facade.run(TRIVIAL)
    return facade


def _registration(times: int) -> Figure:
    samples = []
    for _ in range(times):
        made = list(many.functions())
        registry = ComponentRegistry()
        began = time.process_time()
        for name, function in made:
            registry.register_tool(name, function)
        samples.append((time.process_time() - began) / len(made))
    return Figure(
        group=_GROUP,
        name=f"CPU of registering a tool, {many.COUNT:,} of them",
        unit="ms",
        series=Series.of(samples, scale=1e3),
        targets=(_MOST_REGISTRATION,),
    )


def _searches(facade: Codemode) -> Iterator[Figure]:
    inside = facade.run(_SEARCH).value
    assert isinstance(inside, list)
    registry = facade.registry
    index = registry.listing(registry.tools, registry.tools).index
    synonyms = registry.extensions.synonyms
    alone = []
    for text in TUNING:
        began = time.perf_counter()
        index.search(text, 5, synonyms)
        alone.append((time.perf_counter() - began) * 1e3)
    yield Figure(
        group=_GROUP,
        name=f"search in {many.COUNT:,} tools, by the code's own clock",
        unit="ms",
        series=Series.of(inside),
        floor=Series.of(alone),
        floor_of="the search alone",
    )
    yield Figure(
        group=_GROUP,
        name="the search alone",
        unit="ms",
        series=Series.of(alone),
        targets=(_MOST_SEARCH,),
    )


def _figure(name: str, subject: Subject[object], fewest: Subject[object]) -> Figure:
    floor = fewest.series()
    targets = (Target(statistic="p50", most=2 * floor.p50),) if subject is not fewest else ()
    return Figure(
        group=_GROUP,
        name=name,
        unit="ms",
        series=subject.series(),
        floor=floor,
        floor_of=f"{_COUNTS[0]} tools",
        targets=targets,
        client_cpu_ms=subject.client_cpu_ms,
        executor_cpu_ms=subject.server_cpu_ms,
    )
