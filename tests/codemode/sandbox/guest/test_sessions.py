"""Several runs in one sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Later, tool

TOOLS = [
    tool("ping", "ping(who: str) -> str", "who"),
    tool("aping", "aping(who: str) -> str", "who", asynchronous=True),
    tool("never", "never()"),
    tool("anever", "anever()", asynchronous=True),
]


def host(name: str, arguments: dict[str, Any]) -> Any:
    return Later(None) if name.endswith("never") else arguments["who"].upper()


@pytest.fixture
def session(forker: Forker) -> Iterator[Guest]:
    with Guest(forker, TOOLS, host, session=True) as guest:
        yield guest


def test_variables_stay(session: Guest) -> None:
    session.run("import math\nx = 1\ndef double():\n    return 2 * x")
    assert session.run("x = 21\ndouble(), math.pi > 3").value == (42, True)


def test_sandbox_survives_a_failed_run(session: Guest) -> None:
    session.run("x = 5")
    assert session.run("x = 6\n1 / 0").type == "ZeroDivisionError"
    assert session.run("import sys; sys.exit(1)").type == "SystemExit"
    assert session.run("y = (").type == "SyntaxError"
    assert session.run("x").value == 6


def test_earlier_result_does_not_count_but_stays_readable(session: Guest) -> None:
    assert session.run("result = 5").value == 5
    assert session.run("x = 1").value is None
    assert session.run("result + 1").value == 6
    assert session.run("def f():\n    return result\nx = f()\nx").value == 5
    assert session.run("result += 10").value == 15
    assert session.run("globals().get('result')").value is None
    assert session.run("result").value == 15


def test_each_run_has_its_own_file_name_and_lines(session: Guest) -> None:
    assert session.run("def f():\n    return 1 / 0").completed
    outcome = session.run("\n\nf()")
    assert outcome.line == 3
    assert 'File "<code 2>", line 3' in outcome.traceback
    assert 'File "<code>", line 2, in f' in outcome.traceback
    assert "return 1 / 0" in outcome.traceback
    assert "    f()" in outcome.traceback


def test_one_event_loop_lives_as_long_as_the_session(session: Guest) -> None:
    session.run(
        "import asyncio\nqueue = asyncio.Queue()\nloop = asyncio.get_running_loop()\nawait queue.put(7)"
    )
    outcome = session.run("(await queue.get(), asyncio.get_running_loop() is loop)")
    assert outcome.value == (7, True)


def test_task_of_one_run_can_be_awaited_in_the_next(session: Guest) -> None:
    session.run(
        "import asyncio\ntask = asyncio.create_task(asyncio.sleep(0.05, 'late'))\nawait asyncio.sleep(0)"
    )
    assert session.run("await task").value == "late"


def test_both_styles_of_asyncio_take_turns(session: Guest) -> None:
    assert session.run("await aping('a')").value == "A"
    code = "import asyncio\nasync def main():\n    return await aping('b')\nasyncio.run(main())"
    assert session.run(code).value == "B"
    assert session.run("await aping('c')").value == "C"
    assert session.run("ping('d')").value == "D"


def test_context_variables_of_the_code_stay(session: Guest) -> None:
    session.run("from contextvars import ContextVar\nv = ContextVar('v')\nv.set(1)")
    assert (
        session.run("import asyncio\nawait asyncio.sleep(0)\nv.set(v.get() + 1)\nv.get()").value
        == 2
    )
    assert session.run("v.get()").value == 2


def test_leftover_task_can_call_nothing_in_the_next_run(session: Guest) -> None:
    session.run(
        "import asyncio\nseen, later = [], asyncio.Event()\n"
        "async def linger():\n"
        "    await later.wait()\n"
        "    print('leftover')\n"
        "    for call in (lambda: ping('x'), lambda: progress(1)):\n"
        "        try:\n            seen.append(call())\n"
        "        except ToolError as e:\n            seen.append(str(e))\n"
        "    try:\n        seen.append(await aping('x'))\n"
        "    except ToolError as e:\n        seen.append(e.kind)\n"
        "task = asyncio.create_task(linger())\nawait asyncio.sleep(0)"
    )
    outcome = session.run("later.set()\nawait task\nseen")
    assert outcome.of("call") == []
    assert outcome.of("progress") == []
    assert outcome.stdout == ""
    refused, nothing, kind = outcome.value
    assert "earlier run" in refused
    assert (nothing, kind) == (None, "cancelled")


def test_leftover_thread_can_call_nothing_in_the_next_run(session: Guest) -> None:
    session.run(
        "import threading, time\nseen = []\n"
        "def linger():\n"
        "    while not stop:\n"
        "        try:\n            ping('x')\n"
        "        except ToolError as e:\n            seen.append(e.kind)\n"
        "        print('leftover')\n"
        "        time.sleep(0.01)\n"
        "stop = False\n"
        "t = threading.Thread(target=linger); t.start()\ntime.sleep(0.05)"
    )
    outcome = session.run("while not seen: time.sleep(0.01)\nstop = True\nt.join()\nset(seen)")
    assert outcome.value == {"cancelled"}
    assert outcome.of("call") == []
    assert outcome.stdout == ""


def test_raw_leftover_thread_can_call_nothing_either(session: Guest) -> None:
    session.run(
        "import _thread, time\nseen, later = [], False\n"
        "def linger():\n"
        "    while not later: time.sleep(0.01)\n"
        "    try:\n        seen.append(ping('x'))\n"
        "    except ToolError as e:\n        seen.append(e.kind)\n"
        "_thread.start_new_thread(linger, ())"
    )
    outcome = session.run("later = True\nwhile not seen: time.sleep(0.01)\nseen")
    assert (outcome.value, outcome.of("call")) == (["cancelled"], [])


def test_threads_of_the_run_itself_can_call(session: Guest) -> None:
    code = (
        "import asyncio, threading\ngot = []\n"
        "t = threading.Thread(target=lambda: got.append(ping('a'))); t.start(); t.join()\n"
        "got.append(await asyncio.to_thread(ping, 'b'))\n"
        "got.append(await asyncio.get_running_loop().run_in_executor(None, ping, 'c'))\n"
        "got"
    )
    for _ in range(3):
        assert session.run(code).value == ["A", "B", "C"]


def test_call_left_open_by_a_run_is_answered_with_an_error(session: Guest) -> None:
    session.run(
        "import threading, time\nseen = []\n"
        "def wait():\n"
        "    try:\n        never()\n"
        "    except ToolError as e:\n        seen.append(e.kind)\n"
        "t = threading.Thread(target=wait); t.start(); time.sleep(0.05)"
    )
    assert session.run("t.join(60)\nseen").value == ["cancelled"]


def test_coroutine_left_waiting_for_a_call_gets_an_error(session: Guest) -> None:
    session.run("import asyncio\ntask = asyncio.create_task(anever())\nawait asyncio.sleep(0.05)")
    outcome = session.run("try:\n    await task\nexcept ToolError as e:\n    kind = e.kind\nkind")
    assert outcome.value == "cancelled"


def test_reader_thread_does_not_swallow_the_next_run(session: Guest) -> None:
    for n in range(20):
        assert session.run(f"await aping('n{n}')").value == f"N{n}"
        assert session.run(f"ping('s{n}')").value == f"S{n}"


def test_inputs_belong_to_the_session_from_then_on(session: Guest) -> None:
    assert session.run("n + 1", {"n": 1}).value == 2
    assert session.run("n + 2").value == 3


def test_alarm_of_one_run_does_not_ring_in_the_next(session: Guest) -> None:
    session.run(
        "import signal\nsignal.signal(signal.SIGALRM, lambda *_: 1 / 0)\nsignal.setitimer(signal.ITIMER_REAL, 0.1)"
    )
    assert session.run("import time\ntime.sleep(0.2)\n'quiet'").value == "quiet"


def test_session_ends_with_its_socket(session: Guest) -> None:
    session.run("import threading, time\nthreading.Thread(target=time.sleep, args=(100,)).start()")
    session._sock.close()
    assert session.wait() == 0


def test_first_lines_of_each_run_come_at_once(session: Guest) -> None:
    session.run("for n in range(1000): print(n)")
    assert session.run("print('a')\nprint('b')").of("stdout") == [("a\n",), ("b\n",)]
