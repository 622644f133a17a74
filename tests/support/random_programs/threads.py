"""Statements with threads."""

from __future__ import annotations

from tests.support.random_programs.statements import Statements, statement, sync_statement


@statement(5, "threads")
def in_a_thread(s: Statements, calls: int) -> str:
    work = s.work(calls)
    return s.pick(
        f"see(me, await asyncio.to_thread({work}, [*me]))\n",
        f"see(me, await asyncio.get_running_loop().run_in_executor(None, {work}, [*me]))\n",
    )


@statement(6, "threads")
def threads_and_tasks(s: Statements, calls: int) -> str:
    made = [
        f"asyncio.to_thread({s.work(part)}, [*me, {number}])"
        if s.rng.random() < 0.7
        else f"{s.branch(part)}([*me, {number}])"
        for number, part in enumerate(s.split(calls))
    ]
    return f"see(me, await asyncio.gather({', '.join(made)}))\n"


@statement(4, "threads")
@sync_statement(1, "threads")
def pool_of_threads(s: Statements, calls: int) -> str:
    pool = s.name("pool")
    parts = s.split(calls)
    works = ", ".join(s.work(part) for part in parts)
    return (
        f"with ThreadPoolExecutor({s.pick('2', '4')}) as {pool}:\n"
        f"    futures = [{pool}.submit(work, [*me, n]) for n, work in enumerate([{works}])]\n"
        "for each in futures:\n    see(me, each.result())\n"
    )


@statement(2, "threads")
def own_threads(s: Statements, calls: int) -> str:
    parts = s.split(calls)
    works = ", ".join(s.work(part) for part in parts)
    return (
        f"mine = [[*me, n] for n in range({len(parts)})]\n"
        f"threads = [threading.Thread(target=work, args=(one,)) for work, one in zip([{works}], mine)]\n"
        "for each in threads:\n    each.start()\n"
        "for each in threads:\n    each.join()\n"
        "see(me, [one[-1] for one in mine])\n"
    )


@statement(2, "threads")
def loops_of_threads(s: Statements, calls: int) -> str:
    parts = {s.name("work"): part for part in s.split(calls)}
    for name, part in parts.items():
        s.functions.append(
            f"def {name}(me):\n"
            f"    see(me, asyncio.run({s.branch_of_thread(part)}([*me]), debug=False))\n"
            "    return me[-1]\n"
        )
    made = ", ".join(f"asyncio.to_thread({name}, [*me, '{name}'])" for name in parts)
    return f"see(me, await asyncio.gather({made}))\n"


@statement(1, "threads")
def loop_called_by_a_thread(s: Statements, calls: int) -> str:
    name, branch = s.name("work"), s.branch(calls)
    s.functions.append(
        f"def {name}(me, loop):\n"
        f"    return see(me, asyncio.run_coroutine_threadsafe({branch}([*me]), loop).result())\n"
    )
    return f"see(me, await asyncio.to_thread({name}, [*me], asyncio.get_running_loop()))\n"
