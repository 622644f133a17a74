"""The MCP server of a project by the official client: its list of tools, and a trivial run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Iterator
from importlib.util import find_spec

from tests.benchmarks.figure import Figure
from tests.benchmarks.sampling import Pace, Subject, alternate_async
from tests.benchmarks.subjects import TRIVIAL

__all__ = ["measure"]

_GROUP = "mcp"
_FLOOR = "the SDK's own server"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure by both transports, at a pace that keeps the pool warm."""
    if find_spec("mcp") is None:
        print("mcp: the package mcp is missing; left out", file=sys.stderr)
        return
    blocks = 1 if quick else 8
    yield from asyncio.run(_figures(Pace(samples=blocks * 25, block=25, pause=0.02)))


async def _figures(pace: Pace) -> list[Figure]:
    from tests.benchmarks.mcp_servers import TRANSPORTS, Kind, Peer

    def lists(peer: Peer) -> Subject[Awaitable[object]]:
        return Subject(call=peer.client.list_tools, server=peer.pid)

    def runs(peer: Peer) -> Subject[Awaitable[object]]:
        return Subject(
            call=lambda: peer.client.call_tool("execute_code", {"code": TRIVIAL}), server=peer.pid
        )

    figures = []
    for transport, connected in TRANSPORTS.items():
        async with connected(Kind.BARE) as bare, connected(Kind.PROJECT) as project:
            for name, subject in (("list of the tools", lists), ("trivial run", runs)):
                floor, ours = subject(bare), subject(project)
                for one in (floor, ours):
                    await one.call()  # the first one starts an executor
                await alternate_async((floor, ours), pace)
                figure = Figure(
                    group=_GROUP,
                    name=f"{name} by MCP, {transport}",
                    unit="ms",
                    series=ours.series(),
                    floor=floor.series(),
                    floor_of=_FLOOR,
                    client_cpu_ms=ours.client_cpu_ms,
                    executor_cpu_ms=ours.server_cpu_ms,
                )
                figures.append(figure)
    return figures
