"""Asynchronous tools, in both styles of asyncio."""

from __future__ import annotations

from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Later, Outcome, tool

TOOLS = [
    tool("rate", "rate(code: str) -> str", "code", asynchronous=True),
    tool("now", "now(code: str) -> str", "code"),
]


def run(forker: Forker, code: str, delay: float | None = 0.1, **limits: Any) -> Outcome:
    def host(name: str, arguments: dict[str, Any]) -> Any:
        code = arguments["code"]
        if code == "never":
            return Later(None)
        return Later(0.0 if name == "now" else delay, code.lower())

    with Guest(forker, TOOLS, host, **limits) as guest:
        return guest.run("import asyncio\n" + code)


MAIN = "async def main():\n    {}\nresult = asyncio.run(main())"


@pytest.mark.parametrize("style", ["{}", MAIN], ids=["top-level", "asyncio.run"])
def test_gather_is_concurrent(forker: Forker, style: str) -> None:
    gather = "return await asyncio.gather(*(rate(str(n)) for n in range(20)))"
    code = style.format(gather if style == MAIN else gather.replace("return ", ""))

    def host(name: str, arguments: dict[str, Any]) -> Later:
        return Later(None, arguments["code"], when=lambda: len(guest.outcome.of("call")) == 20)

    with Guest(forker, TOOLS, host) as guest:
        outcome = guest.run("import asyncio\n" + code)
    assert outcome.value == [str(n) for n in range(20)]


@pytest.mark.parametrize(
    "code, value",
    [
        ("task = asyncio.create_task(rate('A'))\nawait task", "a"),
        (
            "async with asyncio.TaskGroup() as group:\n    t = group.create_task(rate('A'))\nt.result()",
            "a",
        ),
        ("await asyncio.wait_for(rate('A'), 60)", "a"),
        ("async with asyncio.timeout(60):\n    x = await rate('A')\nx", "a"),
        ("[await one for one in asyncio.as_completed([rate('A')])]", ["a"]),
        ("await asyncio.to_thread(now, 'A')", "a"),
        ("await asyncio.get_running_loop().run_in_executor(None, now, 'A')", "a"),
        ("now('A') + await rate('B')", "ab"),
        (
            "async def codes():\n    yield 'A'\n    yield 'B'\n[await rate(c) async for c in codes()]",
            ["a", "b"],
        ),
        (
            "task = asyncio.create_task(rate('A'))\nawait asyncio.sleep(0.02)\nnow('B') + await task",
            "ba",
        ),
        (
            (
                "import threading\ngot = []\n"
                "async def main(c):\n    got.extend(await asyncio.gather(rate(c), rate(c * 2)))\n"
                "threads = [threading.Thread(target=lambda c=c: asyncio.run(main(c))) for c in 'AB']\n"
                "for t in threads: t.start()\n"
                "for t in threads: t.join()\n"
                "sorted(got)"
            ),
            ["a", "aa", "b", "bb"],
        ),
        (
            (
                "async def main():\n    return await rate('A')\n"
                "loop = asyncio.new_event_loop()\nx = loop.run_until_complete(main())\nloop.close()\nx"
            ),
            "a",
        ),
    ],
)
def test_async_tool_is_a_native_coroutine_function(forker: Forker, code: str, value: Any) -> None:
    outcome = run(forker, code, 0.03)
    assert outcome.completed, outcome
    assert outcome.value == value


def test_cancelling_the_task_cancels_the_call(forker: Forker) -> None:
    code = (
        "try:\n    await asyncio.wait_for(rate('never'), 0.1)\n"
        "except TimeoutError:\n    kind = 'timeout'\n"
        "(kind, await rate('B'))"
    )
    outcome = run(forker, code, 0.0)
    assert outcome.value == ("timeout", "b")
    assert outcome.of("cancel") == [(1,)]


def test_late_answer_to_a_cancelled_call_is_dropped(forker: Forker) -> None:
    def host(name: str, arguments: dict[str, Any]) -> Later:
        # The first call is answered once it is cancelled, the second after that.
        return Later(None, arguments["code"], when=lambda: guest.outcome.of("cancel") == [(1,)])

    code = (
        "import asyncio\n"
        "try:\n    await asyncio.wait_for(rate('A'), 0.05)\n"
        "except TimeoutError:\n    pass\n"
        "await rate('B')"
    )
    with Guest(forker, TOOLS, host) as guest:
        assert guest.run(code).value == "B"


def test_failing_group_cancels_its_calls(forker: Forker) -> None:
    code = (
        "async def fail():\n    await asyncio.sleep(0.05)\n    raise ValueError('no')\n"
        "async with asyncio.TaskGroup() as group:\n"
        "    group.create_task(rate('never'))\n    group.create_task(fail())"
    )
    outcome = run(forker, code)
    assert outcome.type == "ExceptionGroup"
    assert "ValueError: no" in outcome.traceback
    assert outcome.of("cancel") == [(1,)]


def test_no_more_calls_are_in_flight_than_allowed(forker: Forker) -> None:
    flying, most = set[str](), 0

    class Counted(Later):
        @property
        def value(self) -> Any:
            flying.discard(self.code)
            return self.code

        @value.setter
        def value(self, code: Any) -> None:
            self.code = code

    def host(name: str, arguments: dict[str, Any]) -> Any:
        nonlocal most
        flying.add(arguments["code"])
        most = max(most, len(flying))
        return Counted(0.02, arguments["code"])

    code = "import asyncio\nlen(set(await asyncio.gather(*(rate(str(n)) for n in range(30)))))"
    with Guest(forker, TOOLS, host, tool_calls_in_flight=4) as guest:
        assert guest.run(code).value == 30
    assert 1 < most <= 4


def test_cancelled_wait_for_room_leaves_it_to_others(forker: Forker) -> None:
    def host(name: str, arguments: dict[str, Any]) -> Any:
        code = arguments["code"]
        return Later(None, code.lower(), when=lambda: "cancelled" in guest.outcome.stdout)

    code = (
        "import asyncio\n"
        "first = asyncio.create_task(rate('A'))\n"
        "waiting = [asyncio.create_task(rate('never')) for _ in range(3)]\n"
        "await asyncio.sleep(0.02)\n"
        "for t in waiting: t.cancel()\n"
        "await asyncio.gather(*waiting, return_exceptions=True)\n"
        "print('cancelled')\n"
        "(await first, await rate('B'), await asyncio.to_thread(now, 'C'))"
    )
    with Guest(forker, TOOLS, host, tool_calls_in_flight=1) as guest:
        outcome = guest.run(code)
    assert outcome.value == ("a", "b", "c")
    assert [arguments["code"] for _, arguments in outcome.of("call")] == ["A", "B", "C"]


def test_sync_call_inside_a_coroutine_does_not_wait_for_room_forever(forker: Forker) -> None:
    code = (
        "tasks = [asyncio.create_task(rate(str(n))) for n in range(8)]\n"
        "await asyncio.sleep(0.02)\n"
        "x = now('X')\n"
        "(x, len(await asyncio.gather(*tasks)))"
    )
    assert run(forker, code, 0.1, tool_calls_in_flight=2).value == ("x", 8)


NEVER_AWAITED = "was called but never awaited, so it has not run; write await"
FOUR_TIMES = "was called 4 times but never awaited, so they have not run; write await"
CUT_OFF = "was still running when the code ended, and was cancelled; wait for its result"


@pytest.mark.parametrize(
    "code, hints",
    [
        ("f = rate\nf('A')\n1", [f"rate(...) on line 3 {NEVER_AWAITED} rate(...)"]),
        ("x = {'a': [rate('A')]}\n1", [f"rate(...) on line 2 {NEVER_AWAITED} rate(...)"]),
        ("def f():\n    x = rate('A')\nf()\n1", [f"rate(...) on line 3 {NEVER_AWAITED} rate(...)"]),
        ("f = tools['rate'].run\nf('A')\n1", [f"rate(...) on line 3 {NEVER_AWAITED} rate(...)"]),
        (
            "x = [rate('A') for _ in range(3)]\ny = rate('B')\n1",
            [f"rate(...) on lines 2, 3 {FOUR_TIMES} rate(...)"],
        ),
        (
            "def f():\n    async def main(): pass\n    x = main()\nf()\n1",
            [f"main(...) on line 5 {NEVER_AWAITED} main(...)"],
        ),
        (
            "async def main(): pass\nkept = [main()]\n1",
            [f"main(...) in kept {NEVER_AWAITED} main(...)"],
        ),
        (
            (
                "class Odd(str): __format__ = __hash__ = rpartition = None\n"
                "async def main(): pass\n"
                "kept, x = main(), main()\n"
                "kept.__qualname__, x.__qualname__ = Odd('a'), Odd('b')\ndel x\n1"
            ),
            [f"b(...) on line 6 {NEVER_AWAITED} b(...)", f"a(...) in kept {NEVER_AWAITED} a(...)"],
        ),
        ("x = rate('A')\nawait x", []),
        ("await asyncio.gather(*map(rate, 'AB'))", []),
        ("async def main(): await rate('A')\nasyncio.run(main())", []),
        (
            "try: await asyncio.wait_for(rate('never'), 0.01)\nexcept TimeoutError: 'x'",
            [],
        ),
    ],
)
def test_call_that_nobody_awaited_is_a_hint(forker: Forker, code: str, hints: list[str]) -> None:
    outcome = run(forker, code)
    assert outcome.completed
    assert (outcome.hints, outcome.stderr) == (hints, "")


def test_call_that_nobody_awaited_is_a_hint_on_a_failure_that_does_not_name_it(
    forker: Forker,
) -> None:
    outcome = run(forker, "x = rate('A')\n1/0")
    assert outcome.hints == [f"rate(...) on line 2 {NEVER_AWAITED} rate(...)"]
    outcome = run(forker, "f = rate\nf('A')")
    assert (outcome.type, outcome.hints) == ("ResultNotAwaited", [])
    outcome = run(forker, "[rate(code) for code in 'ABCD']")
    assert outcome.type == "ResultNotAwaited"
    assert outcome.hints == [f"rate(...) on line 2 {FOUR_TIMES} rate(...)"]


@pytest.mark.parametrize(
    "tool, code",
    [
        ("rate", "t = asyncio.create_task(rate('never'))\nawait asyncio.sleep(0.02)\n1"),
        ("rate", "async def main(): asyncio.create_task(rate('never'))\nasyncio.run(main())\n1"),
        ("now", "import _thread, time\n_thread.start_new(now, ('never',))\ntime.sleep(0.02)\n1"),
    ],
)
def test_call_that_the_end_cuts_off_is_a_hint(forker: Forker, tool: str, code: str) -> None:
    outcome = run(forker, code)
    assert (outcome.value, outcome.stderr) == (1, "")
    assert outcome.hints == [f"{tool}(...) {CUT_OFF} before the end"]


CANCELLED = "was cancelled before it began, so it has not run"


@pytest.mark.parametrize(
    "code",
    [
        "asyncio.create_task(rate('A')).cancel()\nawait asyncio.sleep(0)",
        "t = asyncio.create_task(rate('A'))\nt.cancel()\nawait asyncio.wait([t])\n1",
        "try: await asyncio.wait_for(rate('A'), 0)\nexcept TimeoutError: 1",
        "c = rate('A')\nc.close()",
    ],
)
def test_call_that_was_cancelled_before_its_first_step_is_a_hint(forker: Forker, code: str) -> None:
    outcome = run(forker, code)
    assert outcome.completed
    assert outcome.of("call") == []
    assert outcome.hints == [f"rate(...) on line 2 {CANCELLED}"]


def test_calls_that_were_never_awaited_and_cancelled_are_told_apart(forker: Forker) -> None:
    code = (
        "f = rate\nf('lost')\n"
        "for code in 'AB': asyncio.create_task(rate(code)).cancel()\n"
        "await asyncio.sleep(0)\n1/0"
    )
    outcome = run(forker, code)
    assert outcome.hints == [
        f"rate(...) on line 3 {NEVER_AWAITED} rate(...)",
        "rate(...) on line 4 was cancelled 2 times before it began, so these calls have not run",
    ]


def test_hints_are_of_their_own_run(forker: Forker) -> None:
    with Guest(forker, TOOLS, lambda name, arguments: name, session=True) as guest:
        hints = [guest.run(code).hints for code in ("x = rate('A')", "await x", "1")]
    assert hints == [[f"rate(...) on line 1 {NEVER_AWAITED} rate(...)"], [], []]


def test_hints_are_few_and_short(forker: Forker) -> None:
    code = (
        "for n in range(50): exec(f\"async def f{n}{'x' * 3000}(): pass\\nx{n} = f{n}{'x' * 3000}()\")\n"
        "f = rate\nfor n in range(20_000): f('A')\n1"
    )
    outcome = run(forker, code)
    assert len(outcome.hints) == 20
    assert max(map(len, outcome.hints)) < 1_000
    assert "rate(...) on line 4 was called 10000 times" in outcome.hints[0]


def test_tool_of_a_task_is_a_coroutine_function(forker: Forker) -> None:
    code = (
        "import inspect\n"
        "[inspect.iscoroutinefunction(rate), inspect.iscoroutinefunction(now), (await rate('A'))]"
    )
    assert run(forker, code).value == [True, False, "a"]


def test_leftover_task_does_not_hold_the_run(forker: Forker) -> None:
    outcome = run(
        forker, "t = asyncio.create_task(asyncio.sleep(100))\nawait asyncio.sleep(0)\n'done'"
    )
    assert (outcome.value, outcome.stderr) == ("done", "")


def test_cancelled_error_at_the_top_is_a_failure(forker: Forker) -> None:
    assert run(forker, "raise asyncio.CancelledError").type == "CancelledError"
    assert (
        run(forker, "asyncio.current_task().cancel()\nawait asyncio.sleep(1)").type
        == "CancelledError"
    )
