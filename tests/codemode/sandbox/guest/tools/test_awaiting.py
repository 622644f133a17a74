"""Awaits of synchronous tools."""

from __future__ import annotations

from typing import Any

import pytest

from tests.codemode.sandbox.guest.code.looked_at import run
from tests.codemode.sandbox.guest.guest_driver import Forker


@pytest.mark.parametrize(
    "code, value",
    [
        ("await report('x')", "text"),
        ("call = report('x')\nawait call", "text"),
        ("def ask(): return report('x')\nawait ask()", "text"),
        ("await asyncio.gather(report('x'), rate('y'))", ["text", 1.5]),
        ("await asyncio.gather(*(report(k) for k in 'x'))", ["text"]),
        ("await asyncio.gather(*[github.issue.get(3)], return_exceptions=True)", [{"n": 1}]),
        ("await asyncio.wait_for(report('x'), 5)", "text"),
        ("await asyncio.shield(report('x'))", "text"),
        ("await asyncio.create_task(report('x'))", "text"),
        ("await asyncio.ensure_future(report('x'))", "text"),
        ("await asyncio.get_running_loop().create_task(report('x'))", "text"),
        ("[await one for one in asyncio.as_completed([github.issue.get(1)])]", [{"n": 1}]),
        ("[one.result() for one in (await asyncio.wait([github.issue.get(1)]))[0]]", [{"n": 1}]),
        ("async with asyncio.TaskGroup() as g:\n    t = g.create_task(report('x'))\nt.result()", "text"),
        ("async def main(): return await report('x')\nresult = asyncio.run(main())", "text"),
        ("result = asyncio.run(report('x'))", "text"),
        ("loop = asyncio.new_event_loop()\nresult = loop.run_until_complete(report('x'))", "text"),
    ],
)  # fmt: skip
def test_value_of_a_sync_tool_can_be_awaited(forker: Forker, code: str, value: Any) -> None:
    outcome = run(forker, "import asyncio\n" + code)
    assert outcome.value == value, outcome.message
    assert len([call for call in outcome.of("call") if call[0] != "rate"]) == 1


@pytest.mark.parametrize(
    "code",
    ["await 5", "report('x')\nawait None", "await asyncio.gather({})", "await [report('x')]"],
)
def test_other_plain_values_cannot_be_awaited(forker: Forker, code: str) -> None:
    assert run(forker, "import asyncio\n" + code).type == "TypeError"
