"""Each limit has its own effect, and none may exceed the executor's ceiling."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codemode import Codemode, ConfigurationError, ExecutionResult, Limits, ValueEncodingError
from codemode.config import CEILINGS
from codemode.errors import ExecutorRequestError
from tests.support.halves import Half
from tests.support.hosts import delegated


def limited(codemode: Codemode, code: str, **limits: Any) -> ExecutionResult:
    return codemode.client.execute(code, config=limits)


@pytest.mark.parametrize("name", sorted(set(Limits.model_fields)))
def test_limit_above_its_ceiling_is_refused_by_name(codemode: Codemode, name: str) -> None:
    ceiling = getattr(CEILINGS, name)
    if name == "idle_timeout":
        codemode.client.limits = codemode.client.limits.model_copy(update={name: ceiling + 1})
        with codemode.session() as session, pytest.raises(ExecutorRequestError, match=name):
            session.run("1")
        return
    with pytest.raises(ExecutorRequestError, match=f"{name}=.* ceiling of") as caught:
        limited(codemode, "1", **{name: ceiling + 1})
    assert isinstance(caught.value, ValueError)
    assert caught.value.result is None


@pytest.mark.parametrize("config", [None, {}, Limits()])
def test_limits_are_optional(codemode: Codemode, config: Any) -> None:
    assert codemode.client.execute("1", None, config).value == 1


def test_unknown_limit_is_refused_by_name(codemode: Codemode) -> None:
    with pytest.raises(ConfigurationError, match=r"'max_memory' is not a setting of Limits"):
        limited(codemode, "1", max_memory=1)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_invalid_timeout_is_refused(codemode: Codemode, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="execution_timeout"):
        codemode.run("1", execution_timeout=seconds)


def test_output_limit(codemode: Codemode) -> None:
    result = limited(codemode, "print('x' * 100)", max_output_bytes=50)
    assert result.status == "limit"
    assert result.stdout == "x" * 50
    assert limited(codemode, "print('x' * 49)", max_output_bytes=50).ok


def test_output_limit_counts_bytes_and_keeps_characters_whole(codemode: Codemode) -> None:
    result = limited(codemode, "print('é' * 100)", max_output_bytes=51)
    assert result.stdout.rstrip("\N{REPLACEMENT CHARACTER}") == "é" * 25


def test_value_limit_of_the_result(codemode: Codemode) -> None:
    result = limited(codemode, "'x' * 2000", max_value_bytes=1000)
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "ResultLimit")
    assert "1000" in result.error.message


def test_value_limit_of_inputs(codemode: Codemode) -> None:
    with pytest.raises(ValueEncodingError, match="inputs"):
        codemode.client.execute("1", config={"max_value_bytes": 1000}, inputs={"x": "x" * 2000})


def test_value_limit_of_arguments(codemode: Codemode, half: Half) -> None:
    calls: list[int] = []
    codemode.registry.register_tool("note", lambda x: calls.append(len(x)))
    codemode.client.limits = Limits(max_value_bytes=1000)
    code = "try:\n    note('x' * 2000)\nexcept Exception as error:\n    result = str(error)"
    result = half.run(codemode, code)
    assert result.ok, result.error
    assert "1,000 bytes" in result.value
    assert calls == []


def test_value_limit_of_what_a_tool_returns(codemode: Codemode, half: Half) -> None:
    codemode.registry.register_tool("big", lambda: "x" * 2000)
    codemode.client.limits = Limits(max_value_bytes=1000)
    code = "try:\n    big()\nexcept ToolError as error:\n    result = str(error)"
    result = half.run(codemode, code)
    assert result.ok, result.error
    assert "1,000 bytes" in result.value


def test_code_limit(codemode: Codemode) -> None:
    assert limited(codemode, "x = 1 # long", max_code_bytes=8).status == "limit"
    assert limited(codemode, "x = 1", max_code_bytes=8).ok


def test_artifact_limits(codemode: Codemode, half: Half) -> None:
    code = "open('a', 'w').write('x' * 600)\nartifact('a')\nartifact('a')"
    for limits, message in (
        (Limits(max_artifacts=1), "max_artifacts is 1"),
        (Limits(max_artifact_bytes=1_199), "may have 1,199 (max_artifact_bytes)"),
    ):
        codemode.client.limits = limits
        result = half.run(codemode, code)
        assert result.error is not None
        assert (result.status, result.error.type) == ("limit", "ArtifactLimit")
        assert message in result.error.message
        assert [one.name for one in result.artifacts] == ["a"]
    codemode.client.limits = Limits(max_artifacts=2, max_artifact_bytes=1_200)
    assert half.run(codemode, code).ok


def test_tool_call_limit(codemode: Codemode, half: Half) -> None:
    calls: list[int] = []
    codemode.registry.register_tool("note", lambda n: calls.append(n))
    codemode.client.limits = Limits(max_tool_calls=3)
    result = half.run(codemode, "for n in range(10):\n    print(n)\n    note(n)")
    assert result.error is not None
    assert (result.status, result.error.type) == ("limit", "ToolCallLimit")
    assert "max_tool_calls=3" in result.error.message
    assert calls == [0, 1, 2]
    assert result.stdout == "0\n1\n2\n3\n"
    assert half.run(codemode, "for n in range(3): note(n)").ok


def test_calls_beyond_those_in_flight_wait(codemode: Codemode, half: Half) -> None:
    running: list[int] = []
    most: list[int] = []
    three = asyncio.Event()

    async def slow() -> None:
        running.append(1)
        most.append(len(running))
        if len(running) == 3:
            three.set()
        await three.wait()
        # Time for calls that should have waited.
        await asyncio.sleep(0.02)
        running.pop()

    codemode.registry.register_tool("slow", slow)
    codemode.client.limits = Limits(max_tool_calls_in_flight=3)
    code = "import asyncio\nawait asyncio.gather(*(slow() for _ in range(12)))\nNone"
    assert half.run(codemode, code).ok
    assert max(most) == 3
    assert len(most) == 12


@pytest.mark.parametrize("count", [4, 5, 50])
def test_call_without_room_for_its_arguments_delays_nothing_else(
    codemode: Codemode, half: Half, count: int
) -> None:
    started: list[str] = []

    async def slow(data: str) -> None:
        started.append(data)
        await asyncio.Event().wait()

    codemode.registry.register_tool("slow", slow)
    codemode.registry.register_tool("begun", lambda: len(started))
    codemode.client.limits = Limits(max_value_bytes=1000)
    code = (
        "import asyncio\n"
        f"tasks = [asyncio.create_task(slow(data='x' * 900)) for _ in range({count})]\n"
        "while begun() < 4: await asyncio.sleep(0.01)\n"
        "print('cancelling', flush=True)\n"
        "for task in tasks: task.cancel()\n"
        "await asyncio.gather(*tasks, return_exceptions=True)\n"
        "begun()"
    )
    result = half.run(codemode, code, execution_timeout=60)
    assert (result.status, result.value, result.stdout) == ("completed", 4, "cancelling\n")


def test_calls_wait_until_there_is_room_for_their_arguments(codemode: Codemode, half: Half) -> None:
    held: list[int] = []
    most: list[int] = []

    async def hold(data: str) -> int:
        held.append(len(data))
        most.append(sum(held))
        await asyncio.sleep(0.02)
        held.remove(len(data))
        return len(data)

    codemode.registry.register_tool("hold", hold)
    codemode.client.limits = Limits(max_value_bytes=1000)
    sizes = [900, 10, 700, 300, 900, 900, 1, 900, 500, 900]
    code = f"import asyncio\nawait asyncio.gather(*(hold('x' * n) for n in {sizes}))"
    assert half.run(codemode, code).value == sizes
    assert max(most) <= 4_000


def test_open_files_limit(codemode: Codemode) -> None:
    code = (
        "files = []\ntry:\n    while True: files.append(open('/dev/null'))\n"
        "except OSError as error:\n    result = (error.errno, len(files))"
    )
    errno, count = limited(codemode, code, max_open_files=20).value
    assert errno == 24
    assert 5 < count < 20


def test_disk_limit(codemode: Codemode) -> None:
    code = (
        "import signal\n"
        "try:\n    with open('big', 'wb') as file:\n"
        "        for _ in range(100): file.write(b'x' * 1000); file.flush()\n"
        "except OSError as error:\n    result = error.errno"
    )
    assert limited(codemode, code, max_disk_bytes=50_000).value == 27
    assert limited(codemode, code, max_disk_bytes=200_000).value is None


def test_thread_limit(codemode: Codemode) -> None:
    info = codemode.client.info()
    if info.isolation in ("C", "none") and "pids" not in delegated():
        pytest.skip("tiers C and unsafe bound threads by a control group only: none is delegated")
    code = (
        "import threading, time\nthreads = []\n"
        "try:\n    for _ in range(100):\n"
        "        thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)\n"
        "        thread.start()\n        threads.append(thread)\n"
        "except RuntimeError:\n    pass\nresult = len(threads)"
    )
    assert limited(codemode, code, max_threads=8).value < 8
    most = info.default_limits["max_threads"]
    assert most - 4 <= codemode.run(code).value < most, "who asks for nothing gets the default"


def test_limits_reach_the_clients_own_defaults(codemode: Codemode) -> None:
    codemode.client.limits = Limits(max_output_bytes=10)
    assert codemode.run("print('x' * 100)").stdout == "x" * 10
    assert codemode.client.execute("print('x' * 100)", config={"max_output_bytes": 20}).stdout == (
        "x" * 20
    )
