"""Statements whose tasks are awaited together."""

from __future__ import annotations

from tests.support.random_programs.calls import sync_call
from tests.support.random_programs.statements import Statements, indented, statement


@statement(4, simple=True)
def gather(s: Statements, calls: int) -> str:
    return f"see(me, await asyncio.gather({', '.join(s.coroutines(calls))}))\n"


@statement(1.5)
def gather_with_failures(s: Statements, calls: int) -> str:
    made = ", ".join(s.coroutines(calls, fails=True))
    return f"for each in await asyncio.gather({made}, return_exceptions=True):\n    see(me, str(each))\n"


@statement(1)
def gather_that_fails(s: Statements, calls: int) -> str:
    made = ", ".join(s.coroutines(calls, fails=True))
    return (
        "try:\n"
        f"    see(me, await asyncio.gather({made}))\n"
        "except ToolError as error:\n"
        "    see(me, str(error))\n"
    )


@statement(3)
def task_group(s: Statements, calls: int) -> str:
    group, tasks, made = s.name("group"), s.name("tasks"), s.coroutines(calls)
    inner = s.body(1) if s.rng.random() < 0.4 else ""
    return (
        f"async with asyncio.TaskGroup() as {group}:\n"
        f"    {tasks} = [{group}.create_task(each) for each in ({', '.join(made)},)]\n"
        f"{indented(inner)}"
        f"for each in {tasks}:\n    see(me, each.result())\n"
    )


@statement(1.5)
def task_group_that_fails(s: Statements, calls: int) -> str:
    group = s.name("group")
    parts = s.split(calls)
    names = [s.branch(part, fails=not number) for number, part in enumerate(parts)]
    lines = [f"        {group}.create_task({name}([*me, {n}]))\n" for n, name in enumerate(names)]
    return (
        f"try:\n    async with asyncio.TaskGroup() as {group}:\n{''.join(lines)}"
        "except* ToolError as errors:\n"
        "    see(me, [str(each) for each in errors.exceptions])\n"
    )


@statement(2)
def nested_task(s: Statements, calls: int) -> str:
    task, name = s.name("task"), s.branch(max(calls // 2, 1))
    rest = s.body(max(calls // 2, 1))
    return f"{task} = asyncio.create_task({name}([*me, 'task']))\n{rest}see(me, await {task})\n"


@statement(1, simple=True)
def sleep(s: Statements, calls: int) -> str:
    return f"await asyncio.sleep({s.pick('0', s.seconds(2))})\n" + sync_call(s, calls)


@statement(1)
def context(s: Statements, calls: int) -> str:
    name = s.branch(max(calls - 1, 1), tail="see(me, level.get())\n")
    return (
        "level.set(level.get() + 1)\n"
        f"see(me, [await asyncio.create_task({name}([*me])), level.get()])\n"
    )


@statement(1.5)
def queue_with_workers(s: Statements, calls: int) -> str:
    name, jobs = s.name("worker"), s.name("jobs")
    tool = s.async_tool()
    s.functions.append(
        f"async def {name}({jobs}, me):\n"
        "    while True:\n"
        f"        job = await {jobs}.get()\n"
        "        try:\n"
        f"            see(me, [job, (await {tool}(digest(me), job))['serial']])\n"
        "        finally:\n"
        f"            {jobs}.task_done()\n"
    )
    return (
        f"{jobs} = asyncio.{s.pick('Queue()', 'LifoQueue()', 'PriorityQueue()', 'Queue(2)')}\n"
        f"workers = [asyncio.create_task({name}({jobs}, [*me, n])) for n in range(3)]\n"
        f"for job in range({calls}):\n    await {jobs}.put(job)\n"
        f"await {jobs}.join()\n"
        "for each in workers:\n    each.cancel()\n"
        "await asyncio.gather(*workers, return_exceptions=True)\n"
    )


@statement(1.5)
def synchronised(s: Statements, calls: int) -> str:
    lock, name = s.name("lock"), s.name("guarded")
    kind = s.pick("Lock()", "Semaphore(1)", "BoundedSemaphore(2)", "Condition()")
    s.functions.append(
        f"async def {name}({lock}, me):\n"
        f"    async with {lock}:\n"
        f"        see(me, await {s.async_tool()}(digest(me)))\n"
        f"    return see(me, await {s.async_tool()}(digest(me)))\n"
    )
    number = max(calls // 2, 1)
    return (
        f"{lock} = asyncio.{kind}\n"
        f"see(me, await asyncio.gather(*({name}({lock}, [*me, n]) for n in range({number}))))\n"
    )


@statement(1)
def announced(s: Statements, calls: int) -> str:
    event, name = s.name("event"), s.name("waiter")
    s.functions.append(
        f"async def {name}({event}, me):\n"
        f"    await {event}.wait()\n"
        f"    return see(me, await {s.async_tool()}(digest(me)))\n"
    )
    number = max(calls - 1, 1)
    return (
        f"{event} = asyncio.Event()\n"
        f"waiters = [asyncio.create_task({name}({event}, [*me, n])) for n in range({number})]\n"
        f"see(me, await {s.async_tool()}(digest(me)))\n"
        f"{event}.set()\n"
        "see(me, await asyncio.gather(*waiters))\n"
    )


@statement(1.5)
def context_manager(s: Statements, calls: int) -> str:
    name = s.name("opened")
    s.functions.append(
        "@contextlib.asynccontextmanager\n"
        f"async def {name}(me):\n"
        f"    see(me, (await {s.async_tool()}(digest(me)))['serial'])\n"
        "    try:\n"
        "        yield me\n"
        "    finally:\n"
        f"        see(me, {s.pick('lookup', 'await fetch')}(digest(me)))\n"
    )
    inner = indented(s.body(max(calls - 2, 1)))
    return f"async with {name}(me):\n{inner}"


@statement(0.5)
def tasks_of_one_context(s: Statements, calls: int) -> str:
    one = s.name("one")
    made = ", ".join(
        f"asyncio.create_task({s.branch(part)}([*me, {n}]), context={one})"
        for n, part in enumerate(s.split(calls))
    )
    return f"{one} = contextvars.copy_context()\nsee(me, await asyncio.gather({made}))\n"


@statement(0.5)
def eager_tasks(s: Statements, calls: int) -> str:
    tasks = s.name("tasks")
    made = [f"{s.branch(part)}([*me, {number}])" for number, part in enumerate(s.split(calls))]
    return (
        "asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)\n"
        f"{tasks} = [asyncio.create_task(each) for each in ({', '.join(made)},)]\n"
        "asyncio.get_running_loop().set_task_factory(None)\n"
        f"see(me, await asyncio.gather(*{tasks}))\n"
    )
