"""Statements of which only one of several tasks comes first: races, timeouts, cancelled tasks."""

from __future__ import annotations

from tests.support.random_programs.statements import Statements, indented, statement


@statement(5, "races")
def first_of_several(s: Statements, calls: int) -> str:
    tasks = s.name("tasks")
    rest = s.pick(
        "for each in rest:\n    each.cancel()\n"
        "see(me, [type(each).__name__ for each in await asyncio.gather(*rest, return_exceptions=True)])\n",
        "for each in rest:\n    see(me, await each)\n",
        "while rest:\n"
        "    done, rest = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)\n"
        "    for each in done:\n        see(me, each.result())\n",
    )
    bound = s.pick("", "", f", timeout={s.seconds()}")
    return (
        f"{tasks} = {s.tasks(calls)}\n"
        f"done, rest = await asyncio.wait({tasks}, return_when=asyncio.FIRST_COMPLETED{bound})\n"
        f"for each in done:\n    see(me, each.result())\n{rest}"
    )


@statement(2, "races")
def all_in_the_order_of_a_set(s: Statements, calls: int) -> str:
    tasks = s.name("tasks")
    return (
        f"{tasks} = {s.tasks(calls)}\n"
        f"done, rest = await asyncio.wait({tasks})\n"
        "for each in done:\n    see(me, each.result())\n"
    )


@statement(4, "races")
def as_they_complete(s: Statements, calls: int) -> str:
    made = ", ".join(s.coroutines(calls))
    return f"for each in asyncio.as_completed([{made}]):\n    see(me, await each)\n"


@statement(4, "races")
def timeout(s: Statements, calls: int) -> str:
    bound = s.pick(
        f"asyncio.timeout({s.seconds()})",
        f"asyncio.timeout_at(asyncio.get_running_loop().time() + {s.seconds()})",
    )
    return (
        f"try:\n    async with {bound}:\n{indented(indented(s.body(calls)))}"
        "except TimeoutError:\n    see(me, 'timeout')\n"
    )


@statement(3, "races")
def wait_for(s: Statements, calls: int) -> str:
    awaited = s.pick(f"{s.branch(calls)}([*me])", f"{s.async_tool()}(digest(me))")
    if s.rng.random() < 0.2:
        awaited = f"asyncio.shield({awaited})"
    return (
        f"try:\n    see(me, await asyncio.wait_for({awaited}, {s.seconds()}))\n"
        "except TimeoutError:\n    see(me, 'timeout')\n"
    )


@statement(2, "races")
def spin(s: Statements, calls: int) -> str:
    task, name = s.name("task"), s.branch(calls)
    look = s.pick("see(me, rounds)\n", "")
    return (
        f"{task}, rounds = asyncio.create_task({name}([*me])), 0\n"
        f"while not {task}.done():\n"
        f"    rounds += 1\n    await asyncio.sleep({s.pick('0', '0', '0.0003')})\n"
        f"{look}see(me, {task}.result())\n"
    )


@statement(2, "races", shared=True)
def spin_until(s: Statements, calls: int) -> str:
    return (
        f"loop = asyncio.get_running_loop()\nuntil = loop.time() + {s.seconds(2)}\n"
        "while loop.time() < until:\n    await asyncio.sleep(0)\n"
    ) + s.body(calls)


@statement(2.5, "races")
def cancel(s: Statements, calls: int) -> str:
    task, name = s.name("task"), s.branch(max(calls - 1, 1))
    pause = s.pick(f"await asyncio.sleep({s.seconds(4)})\n", s.body(1))
    return (
        f"{task} = asyncio.create_task({name}([*me]))\n{pause}{task}.cancel()\n"
        f"try:\n    see(me, await {task})\n"
        "except asyncio.CancelledError:\n    see(me, 'cancelled')\n"
    )


@statement(1.5, "races")
def callbacks(s: Statements, calls: int) -> str:
    task, name = s.name("task"), s.branch(calls)
    return (
        f"{task} = asyncio.create_task({name}([*me]))\n"
        f"{task}.add_done_callback(lambda _: see(me, 'done'))\n"
        f"asyncio.get_running_loop().call_later({s.seconds()}, see, me, 'later')\n"
        f"asyncio.get_running_loop().call_soon(see, me, 'soon')\n"
        f"see(me, await {task})\n"
    )


@statement(1.5, "races")
def stream_with_timeouts(s: Statements, calls: int) -> str:
    items, name = s.name("items"), s.name("producer")
    s.functions.append(
        f"async def {name}({items}, me, count):\n"
        "    for number in range(count):\n"
        f"        {items}.put_nowait((await {s.async_tool()}(digest(me), number))['serial'])\n"
        "        see(me, number)\n"
        f"    {items}.put_nowait(None)\n"
    )
    return (
        f"{items} = asyncio.Queue()\n"
        f"producer = asyncio.create_task({name}({items}, [*me], {calls}))\n"
        "item = 0\n"
        "while item is not None:\n"
        "    try:\n"
        f"        item = see(me, await asyncio.wait_for({items}.get(), {s.seconds(3)} + 0.0005))\n"
        "    except TimeoutError:\n"
        "        see(me, 'nothing yet')\n"
    )


@statement(0.7, "races", shared=True)
def left_running(s: Statements, calls: int) -> str:
    return f"left.append(asyncio.create_task({s.branch(calls)}([*me])))\n"


@statement(0.7, "races")
def barrier(s: Statements, calls: int) -> str:
    meeting, name = s.name("meeting"), s.name("party")
    s.functions.append(
        f"async def {name}({meeting}, me):\n"
        f"    see(me, await {s.async_tool()}(digest(me)))\n"
        f"    place = await {meeting}.wait()\n"
        "    return see(me, place)\n"
    )
    number = max(calls, 2)
    return (
        f"{meeting} = asyncio.Barrier({number})\n"
        f"see(me, await asyncio.gather(*({name}({meeting}, [*me, n]) for n in range({number}))))\n"
    )
