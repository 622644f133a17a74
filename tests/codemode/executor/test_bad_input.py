"""Whatever code is sent, it gets its own clear outcome, and the executor serves on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from codemode import ClientConfig, Codemode, ExecutionError, ExecutionResult, Limits
from tests.support.halves import Half
from tests.support.processes import ExecutorProcess, descendants, is_running, wait_until

MIB = 1024 * 1024


def add(a: int, b: int) -> int:
    return a + b


async def rate(currency: str) -> float:
    return 1.5


@pytest.fixture(autouse=True)
def _serves_on(codemode: Codemode) -> Iterator[None]:
    codemode.registry.register_tool("add", add)
    codemode.registry.register_tool("rate", rate)
    yield
    assert codemode.run("add(1, 2)").value == 3


def limited(codemode: Codemode, code: str, **limits: Any) -> ExecutionResult:
    return codemode.client.execute(code, config=limits)


@pytest.mark.parametrize(
    "code, status, error_type, message, line",
    [
        ("x = 1\n1 +", "failed", "SyntaxError", "invalid syntax", 2),
        ("x = 1\n\n1 / 0", "failed", "ZeroDivisionError", "division by zero", 3),
        ("import sys\nsys.exit(2)", "failed", "SystemExit", "sys.exit(2)", 2),
        ("exit()", "failed", "SystemExit", "exit", 1),
        ("import os\nos._exit(3)", "crashed", "ExitedEarly", "exit status 3", None),
        ("import os\nos._exit(0)", "crashed", "ExitedEarly", "exit status 0", None),
        # In this case the first process of a PID namespace ends by SIGSEGV.
        ("import os\nos.abort()", "crashed", "Crashed", "the interpreter crashed", None),
        ("import ctypes\nctypes.string_at(0)", "crashed", "Crashed", "SIGSEGV", None),
        ("import os\nos.close(3)", "crashed", None, "", None),
        (
            "import os, time\nos.closerange(3, 64)\ntime.sleep(600)",
            *("crashed", "ExitedEarly", "closed the sandbox's channel", None),
        ),
        ("addd(1, 2)", "failed", "NameError", "addd", 1),
        ("add(1)", "failed", "InvalidArgumentsError", "add(a: int, b: int) -> int", 1),
        ("add(1, 'x')", "failed", "InvalidArgumentsError", "add(a: int, b: int) -> int", 1),
        ("add(1, 2, 3)", "failed", "InvalidArgumentsError", "add(a: int, b: int) -> int", 1),
        ("rate('EUR')", "failed", "ResultNotAwaited", "await", None),
        ("{'a': [1, object()]}", "failed", "ResultNotSerialisable", "['a'][1]", None),
        ("raise BaseException('odd')", "failed", "BaseException", "odd", 1),
        ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt", "", 1),
        ("def f(): f()\nf()", "failed", "RecursionError", "recursion", 1),
        ("input()", "failed", "EOFError", "no standard input", 1),
        ("'\\ud800'", "failed", "ResultNotSerialisable", "surrogate", None),
        ("import nowhere", "failed", "ModuleNotFoundError", "nowhere", 1),
    ],
)
def test_failing_code_gets_its_own_outcome(
    codemode: Codemode,
    half: Half,
    code: str,
    status: str,
    error_type: str | None,
    message: str,
    line: int | None,
) -> None:
    result = half.run(codemode, "print('before')\n" + code, execution_timeout=600)
    assert result.error is not None
    assert result.status == status
    assert result.error.type == error_type or error_type is None
    assert message in result.error.message
    if line is not None:
        assert result.error.line == line + 1
    before_the_run = error_type == "SyntaxError" or "Found before the run" in result.error.message
    assert result.stdout == ("" if before_the_run else "before\n")
    assert result.value is None


@pytest.mark.parametrize("call", ["addd(1, 2)", "tools['addd'].run(a=1, b=2)"])
def test_unknown_tool_gets_the_name_that_was_meant(codemode: Codemode, call: str) -> None:
    result = codemode.run(call)
    assert result.status == "failed"
    assert result.error is not None
    assert "add" in result.error.message.replace("addd", "") + result.error.traceback.replace(
        "addd", ""
    )
    assert result.tool_calls == ()


def test_execute_raises_with_the_whole_outcome(codemode: Codemode) -> None:
    with pytest.raises(ExecutionError, match="ZeroDivisionError: division by zero") as caught:
        codemode.execute("print('hi')\nadd(1, 2)\n1/0")
    assert caught.value.result.stdout == "hi\n"
    assert [call.name for call in caught.value.result.tool_calls] == ["add"]


def test_un_awaited_async_tool_is_named(codemode: Codemode) -> None:
    result = codemode.run("x = rate('EUR')\nresult = 1")
    assert result.value == 1
    [hint] = result.hints
    assert "rate(...) on line 1 was called but never awaited" in hint


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(60)"])
def test_infinite_loop_times_out(codemode: Codemode, half: Half, code: str) -> None:
    result = half.run(codemode, f"print('in')\n{code}", execution_timeout=2)
    assert result.usage.wall_seconds > 1.9
    assert result.status == "timeout"
    assert result.error is not None
    assert result.error.message == "the code ran longer than execution_timeout=2 s"
    assert result.stdout == "in\n"


def test_code_that_catches_everything_times_out(codemode: Codemode) -> None:
    code = (
        "import signal\n"
        "for number in range(1, 32):\n"
        "    if number not in (9, 19): signal.signal(number, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    )
    assert codemode.run(code, execution_timeout=2).status == "timeout"


def test_cpu_limit_has_its_own_outcome(codemode: Codemode) -> None:
    result = limited(codemode, "while True: pass", max_cpu_seconds=1)
    assert result.status == "limit"
    assert result.error is not None
    assert result.error.type == "CpuLimit"
    assert "max_cpu_seconds is 1" in result.error.message


@pytest.mark.parametrize(
    "bomb",
    [
        "x = bytearray(10**10)",
        "x = []\nwhile True: x.append(bytearray(10**6))",
        "x = []\nwhile True: x.append(x and x[-1] + 'a' * 1000 or 'b')",
        "x = {}\ni = 0\nwhile True:\n    x[i] = str(i)\n    i += 1",
        "x = []\nwhile True: x = [x, x]",
        "x = 'a' * 10**7\nwhile True: x += x",
        "x = 2\nwhile True: x = x ** 16",
    ],
)
def test_memory_bomb_has_its_own_outcome(codemode: Codemode, bomb: str) -> None:
    result = codemode.client.execute(
        f"print('in')\n{bomb}", config={"max_memory_bytes": 64 * MIB, "execution_timeout": 300}
    )
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "MemoryLimit"), result.error
    assert result.stdout == "in\n"


def test_memory_error_can_be_caught_by_the_code(codemode: Codemode) -> None:
    code = "try:\n    x = bytearray(10**9)\nexcept MemoryError:\n    result = 'caught'"
    assert limited(codemode, code, max_memory_bytes=64 * MIB).value == "caught"


@pytest.mark.parametrize(
    "flood",
    [
        "for _ in range(1000): print('x' * 10**6)",
        "import sys\nfor _ in range(1000): sys.stderr.write('x' * 10**6)",
        "while True: print('x')",
    ],
)
def test_flood_of_output_is_truncated(codemode: Codemode, half: Half, flood: str) -> None:
    result = half.run(codemode, flood)
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "OutputLimit")
    assert len(result.stdout) + len(result.stderr) == Limits().max_output_bytes


def test_output_past_python_s_own_streams_harms_nobody(codemode: Codemode) -> None:
    code = "import os\nfor _ in range(20000): os.write(1, b'x' * 1000)\nresult = 'done'"
    result = codemode.run(code)
    assert result.value == "done"


def test_huge_result_has_its_own_outcome(codemode: Codemode, half: Half) -> None:
    result = half.run(codemode, "'x' * 20_000_000")
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "ResultLimit")
    assert str(Limits().max_value_bytes) in result.error.message


def test_code_over_its_limit_is_refused(codemode: Codemode, half: Half) -> None:
    result = half.run(codemode, "#" * (Limits().max_code_bytes + 1))
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "CodeSizeLimit")
    assert str(Limits().max_code_bytes) in result.error.message


def test_code_at_its_limit_runs(codemode: Codemode) -> None:
    code = "result = 7\n"
    assert codemode.run(code + "#" * (Limits().max_code_bytes - len(code))).value == 7


@pytest.fixture(scope="module")
def unsafe() -> Iterator[ExecutorProcess]:
    """Yield an executor whose code may start processes."""
    with ExecutorProcess("--tier", "unsafe") as process:
        yield process


def test_fork_bomb_dies_with_its_run(unsafe: ExecutorProcess) -> None:
    before = set(descendants(unsafe.pid))
    code = "import os, time\nfor _ in range(6):\n    os.fork()\ntime.sleep(600)"
    with Codemode.from_client_config(ClientConfig(executor_url=unsafe.url)) as codemode:
        result = codemode.run(code, execution_timeout=3)
    # A control group refuses the forks beyond its limit.
    assert result.status in {"timeout", "failed"}
    assert wait_until(lambda: len(set(descendants(unsafe.pid)) - before) < 10)


@pytest.mark.parametrize("ending", ["result = 1", "os._exit(1)", "time.sleep(600)"])
def test_processes_of_the_code_end_with_it(unsafe: ExecutorProcess, ending: str) -> None:
    pids: list[int] = []
    code = (
        "import os, time\n"
        "for _ in range(2):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        os.setsid()\n"
        "        if not os.fork():\n"
        "            time.sleep(600)\n"
        "        time.sleep(600)\n"
        "    note(pid)\n"
        "time.sleep(0.1)\n"
    )
    with Codemode.from_client_config(ClientConfig(executor_url=unsafe.url)) as codemode:
        codemode.registry.register_tool("note", lambda pid: pids.append(pid))
        codemode.run(code + ending, execution_timeout=3 if "sleep" in ending else 60)
    assert len(pids) == 2
    assert wait_until(lambda: not any(map(is_running, pids)))


def test_hostile_code_costs_only_its_own_run(executor: ExecutorProcess) -> None:
    config = ClientConfig(executor_url=executor.url)
    with Codemode.from_client_config(config) as one, Codemode.from_client_config(config) as other:
        steps = one.stream("print('in')\nimport time\ntime.sleep(0.5)\nresult = 'whole'")
        events = iter(steps)
        next(events)
        assert not other.run("import os\nos.kill(0, 9)").ok
        assert list(events)[-1].result.value == "whole"  # type: ignore[union-attr]  # the last event


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError('x' * 10_000_000)",
        "progress(1, 2, 'x' * 10_000_000)\n1/0",
        "class X(Exception): pass\nX.__name__ = 'x' * 10_000_000\nraise X",
        "exec('def ' + 'f' * 100_000 + '(): 1/0')\nlocals()['f' * 100_000]()",
        "tools['x' * 10_000_000]",
    ],
)
def test_long_texts_do_not_break_the_stream(codemode: Codemode, half: Half, code: str) -> None:
    result = half.run(codemode, code)
    assert result.status == "failed"
    assert result.error is not None
    assert len(result.error.message) < 100_000


def test_answer_that_does_not_fit_into_memory_is_a_limit(codemode: Codemode, half: Half) -> None:
    codemode.registry.register_tool("big", lambda: "x" * 12_000_000)
    codemode.client.limits = Limits(max_memory_bytes=24 * MIB)
    result = half.run(codemode, "print('in')\nkept = [big() for _ in range(20)]")
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "MemoryLimit"), result.error
    assert result.stdout == "in\n"


def test_input_that_does_not_fit_into_memory_is_a_limit(codemode: Codemode, half: Half) -> None:
    codemode.client.limits = Limits(max_memory_bytes=8 * MIB)
    result = half.run(codemode, "len(text)", inputs={"text": "x" * 15_000_000})
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "MemoryLimit"), result.error
