"""Coroutines and threads."""

from __future__ import annotations

from tests.codemode.sandbox.corpus.program import Program

__all__ = ["PROGRAMS"]

PROGRAMS = (
    Program("top-level await", "import asyncio\nawait asyncio.sleep(0, 'slept')", "slept"),
    Program(
        "asyncio.run",
        "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 3\nasyncio.run(main())",
        3,
    ),
    Program(
        "gather",
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(0.01 * (3 - n))\n    return n\nawait asyncio.gather(*map(f, range(3)))",
        [0, 1, 2],
    ),
    Program(
        "task groups",
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n * n\nasync with asyncio.TaskGroup() as group:\n    tasks = [group.create_task(f(n)) for n in range(4)]\n[t.result() for t in tasks]",
        [0, 1, 4, 9],
    ),
    Program(
        "async generators",
        "async def g():\n    for i in range(3):\n        yield i\n[x async for x in g()]",
        [0, 1, 2],
    ),
    Program(
        "async context managers",
        "from contextlib import asynccontextmanager\nlog = []\n@asynccontextmanager\nasync def c():\n    log.append('in')\n    yield 5\n    log.append('out')\nasync with c() as v:\n    log.append(v)\nlog",
        ["in", 5, "out"],
    ),
    Program(
        "timeouts",
        "import asyncio\ntry:\n    async with asyncio.timeout(0.01):\n        await asyncio.sleep(60)\nexcept TimeoutError:\n    result = 'timeout'",
        "timeout",
    ),
    Program(
        "wait_for and cancel",
        "import asyncio\ntask = asyncio.create_task(asyncio.sleep(9))\nawait asyncio.sleep(0)\ntask.cancel()\ntry:\n    await task\nexcept asyncio.CancelledError:\n    result = task.cancelled()",
    ),
    Program(
        "queues and semaphores",
        "import asyncio\nq = asyncio.Queue()\ns = asyncio.Semaphore(2)\nout = []\nasync def worker():\n    while (n := await q.get()) is not None:\n        async with s:\n            out.append(n)\nfor n in [1, 2, 3, None]:\n    q.put_nowait(n)\nawait worker()\nout",
        [1, 2, 3],
    ),
    Program(
        "events and locks",
        "import asyncio\ne, l = asyncio.Event(), asyncio.Lock()\nasync def setter():\n    async with l:\n        e.set()\nasyncio.ensure_future(setter())\nawait e.wait()",
        True,
    ),
    Program(
        "to_thread",
        "import asyncio, threading\nmain = threading.get_ident()\nawait asyncio.to_thread(lambda: threading.get_ident() != main)",
    ),
    Program(
        "run_in_executor",
        "import asyncio\nloop = asyncio.get_running_loop()\nawait loop.run_in_executor(None, sum, [1, 2, 3])",
        6,
    ),
    Program(
        "call_later",
        "import asyncio\nloop = asyncio.get_running_loop()\nf = loop.create_future()\nloop.call_later(0.01, f.set_result, 'late')\nawait f",
        "late",
    ),
    Program(
        "as_completed",
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(n / 50)\n    return n\n[await c for c in asyncio.as_completed([f(2), f(0), f(1)])]",
        [0, 1, 2],
    ),
    Program(
        "subprocesses are refused",
        "import asyncio\ntry:\n    await asyncio.create_subprocess_exec('true')\nexcept OSError:\n    result = 'refused'",
        "refused",
    ),
    Program(
        "context variables",
        "import asyncio, contextvars\nv = contextvars.ContextVar('v', default=0)\nasync def f(n):\n    v.set(n)\n    await asyncio.sleep(0)\n    return v.get()\n[await asyncio.gather(f(1), f(2)), v.get()]",
        [[1, 2], 0],
    ),
    Program(
        "threads",
        "import threading\nout = []\nts = [threading.Thread(target=out.append, args=(i,)) for i in range(8)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nsorted(out)",
        list(range(8)),
    ),
    Program(
        "locks of threads",
        "import threading\nn, l = 0, threading.Lock()\ndef work():\n    global n\n    for _ in range(1000):\n        with l:\n            n += 1\nts = [threading.Thread(target=work) for _ in range(4)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nn",
        4000,
    ),
    Program(
        "thread pool",
        "from concurrent.futures import ThreadPoolExecutor, as_completed\nwith ThreadPoolExecutor(8) as pool:\n    a = list(pool.map(pow, [2] * 5, range(5)))\n    b = sorted(f.result() for f in as_completed([pool.submit(len, 'x' * n) for n in range(4)]))\n[a, b]",
        [[1, 2, 4, 8, 16], [0, 1, 2, 3]],
    ),
    Program(
        "process pools are refused",
        "from concurrent.futures import ProcessPoolExecutor\ntry:\n    with ProcessPoolExecutor(1) as pool:\n        pool.submit(len, 'x').result()\nexcept OSError as error:\n    result = 'refused'",
        "refused",
    ),
    Program(
        "thread locals",
        "import threading\nlocal = threading.local()\nlocal.x = 1\nseen = []\nt = threading.Thread(target=lambda: seen.append(hasattr(local, 'x')))\nt.start()\nt.join()\nseen",
        [False],
    ),
    Program(
        "timers and events",
        "import threading\ne = threading.Event()\nthreading.Timer(0.01, e.set).start()\ne.wait(60)",
    ),
    Program(
        "conditions and barriers",
        "import threading\nb = threading.Barrier(3)\nout = []\ndef work():\n    out.append(b.wait(60))\nts = [threading.Thread(target=work) for _ in range(3)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nsorted(out)",
        [0, 1, 2],
    ),
    Program(
        "queue",
        "import queue, threading\nq = queue.Queue(1)\nthreading.Thread(target=lambda: [q.put(i) for i in range(3)]).start()\n[q.get(timeout=60) for _ in range(3)]",
        [0, 1, 2],
    ),
    Program(
        "asyncio in a thread",
        "import asyncio, threading\nout = []\nt = threading.Thread(target=lambda: out.append(asyncio.run(asyncio.sleep(0, 'in'))))\nt.start()\nt.join()\nout",
        ["in"],
    ),
    Program(
        "signals within",
        "import signal\ngot = []\nsignal.signal(signal.SIGUSR1, lambda *a: got.append(a[0]))\nsignal.raise_signal(signal.SIGUSR1)\n[int(g) == signal.SIGUSR1 for g in got]",
        [True],
    ),
    Program(
        "alarms",
        "import signal, time\ngot = []\nsignal.signal(signal.SIGALRM, lambda *a: got.append('alarm'))\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(0.05)\ngot",
        ["alarm"],
    ),
    Program(
        "sched",
        "import sched, time\nout = []\ns = sched.scheduler(time.monotonic, time.sleep)\ns.enter(0.01, 1, out.append, ('b',))\ns.enter(0, 1, out.append, ('a',))\ns.run()\nout",
        ["a", "b"],
    ),
    Program(
        "thread exceptions",
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    error = pool.submit(lambda: 1 / 0).exception()\ntype(error).__name__",
        "ZeroDivisionError",
    ),
)
