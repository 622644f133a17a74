"""Tests of the value of a run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome, tool

TOOLS = [tool("rate", "rate(code: str) -> float", "code", asynchronous=True), tool("now", "now()")]


def run(forker: Forker, code: str, inputs: dict[str, Any] | None = None) -> Outcome:
    with Guest(forker, TOOLS, lambda name, arguments: 1.5) as guest:
        outcome = guest.run(code, inputs)
        assert guest.wait() == 0
        return outcome


@pytest.mark.parametrize(
    "code, value",
    [
        ("", None),
        ("# nothing", None),
        ("x = 1", None),
        ("1 + 1", 2),
        ("x = 1\nx + 1", 2),
        ("'text'", "text"),
        ("result = 5", 5),
        ("result = 5\n7", 5),
        ("result = None\n7", None),
        ("7\nx = 1", None),
        ("def f():\n    global result\n    result = 'inside'\nf()", "inside"),
        ("for i in range(3):\n    result = i", 2),
        ("if True:\n    5", None),
        ("[n for n in range(3)]", [0, 1, 2]),
        ("import asyncio\nawait asyncio.sleep(0, 'slept')", "slept"),
        ("await rate('EUR')", 1.5),
        ("result = await rate('EUR')", 1.5),
        ("async def f():\n    return 3\n[await f() for _ in range(2)]", [3, 3]),
        (
            "import asyncio\nasync def main():\n    return await rate('EUR')\nasyncio.run(main())",
            1.5,
        ),
        ("globals()['result'] = 4", 4),
        ("print('said')", None),
        ("lst = [1]; lst.append(2); lst", [1, 2]),
        ("(yes := True)", True),
        (
            "from __future__ import annotations\ndef f(x: Undefined): ...\nlist(f.__annotations__)",
            ["x"],
        ),
    ],
)
def test_value_is_result_or_the_last_expression_or_none(
    forker: Forker, code: str, value: Any
) -> None:
    outcome = run(forker, code)
    assert outcome.completed, outcome
    assert outcome.value == value
    assert type(outcome.value) is type(value)


def test_inputs_are_global_variables(forker: Forker) -> None:
    outcome = run(
        forker, "def total():\n    return sum(rows)\n(total(), who)", {"rows": [1, 2], "who": "ada"}
    )
    assert outcome.value == (3, "ada")


def test_hidden_name_of_the_last_expression_is_nobodys_variable(forker: Forker) -> None:
    assert run(forker, "[n for n in dir() if not n.isidentifier()]").value == []


def test_unserialisable_result_names_the_path(forker: Forker) -> None:
    outcome = run(forker, "{'rows': [1, lambda: 2]}")
    assert outcome.type == "ResultNotSerialisable"
    assert "result" in outcome.message
    assert "rows" in outcome.message
    assert "function" in outcome.message


def test_too_large_result_is_a_limit(forker: Forker) -> None:
    with Guest(forker, [], lambda *_: None, value_bytes=1000) as guest:
        outcome = guest.run("print('before')\n'x' * 2000")
    assert outcome.type == "ResultLimit"
    assert "larger than 1000 bytes" in outcome.message
    assert outcome.stdout == "before\n"


@pytest.mark.parametrize(
    "code",
    [
        "f = rate\nf('EUR')",
        "[rate(c) for c in ('EUR', 'USD')]",
        "{'rate': rate('EUR')}",
    ],
)
def test_result_that_was_not_awaited_says_to_await(forker: Forker, code: str) -> None:
    outcome = run(forker, code)
    assert outcome.type == "ResultNotAwaited"
    assert "a coroutine that was never awaited" in outcome.message


def test_future_as_result_was_not_awaited(forker: Forker) -> None:
    outcome = run(
        forker, "import asyncio\nawait asyncio.sleep(0)\nasyncio.ensure_future(rate('EUR'))"
    )
    assert outcome.type == "ResultNotAwaited"
    assert "Task" in outcome.message


def test_run_says_taken_before_anything_else(forker: Forker) -> None:
    assert run(forker, "print(1)").events == [("taken",), ("stdout", "1\n")]


def test_main_is_a_module_of_the_runs_own(forker: Forker) -> None:
    code = "import sys, __main__\n(__name__, sys.modules['__main__'] is __main__, __main__.x if 'x' in vars(__main__) else None)"
    assert run(forker, code).value == ("__main__", True, None)


def test_thread_and_exit_handler_left_behind_do_not_hold_the_run(forker: Forker) -> None:
    code = (
        "import threading, time, atexit\n"
        "atexit.register(time.sleep, 100)\n"
        "threading.Thread(target=time.sleep, args=(100,)).start()\n"
        "'done'"
    )
    assert run(forker, code).value == "done"


def test_executor_going_away_ends_the_guest(forker: Forker) -> None:
    with Guest(forker, [], lambda *_: None) as guest:
        guest._sock.close()
        assert guest.wait() == 0


@pytest.mark.parametrize("call", ["await rate('EUR')", "tools['now']()"])
def test_run_that_replaces_what_the_runtime_needs_still_reports(forker: Forker, call: str) -> None:
    code = (
        "import builtins, os, socket, json, asyncio, time, threading, struct, gc, traceback\n"
        "os._exit = json.dumps = asyncio.run = time.sleep = struct.pack = None\n"
        "threading.current_thread = threading.enumerate = None\n"
        "print('a')\n"
        "builtins.print = builtins.exec = builtins.compile = None\n"
    )
    if "await" not in call:
        # Replaced only without await: asyncio itself needs these.
        code += "threading.Lock = threading.RLock = threading.get_ident = None\ntime.monotonic = socket.socket.send = None\n"
    outcome = run(forker, f"{code}\n{call}")
    assert (outcome.value, outcome.stdout) == (1.5, "a\n")


def test_forked_process_of_the_code_cannot_report_for_it(forker: Forker) -> None:
    code = (
        "import os, sys\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    print('from the fork')\n"
        "    raise SystemExit\n"
        "os.waitpid(pid, 0)\n"
        "'parent'"
    )
    outcome = run(forker, code)
    assert (outcome.value, outcome.stdout) == ("parent", "")


def test_guest_imports_the_standard_library_and_cbor2_only(forker: Forker) -> None:
    code = (
        "import sys\n"
        "known = {*sys.stdlib_module_names, *sys.builtin_module_names, 'cbor2', 'codemode', '__main__'}\n"
        "known |= {'_missing_stdlib_info', '_xxsubinterpreters'}  # of it too, but not among its names\n"
        "sorted({name.partition('.')[0] for name in sys.modules} - known)"
    )
    assert run(forker, code).value == []
