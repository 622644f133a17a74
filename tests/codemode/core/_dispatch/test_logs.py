"""The ``codemode`` logger records each execution and call and its duration, and no secret."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator

import pytest

from codemode import ClientConfig, Codemode, ExecutorConnectionError, ToolError
from tests.support.halves import Half

SECRET = "s3cr3t"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="codemode"):
        yield caplog


@pytest.fixture
def facade(codemode: Codemode) -> Codemode:
    async def agreet(name: str) -> str:
        await asyncio.sleep(0)
        return f"hello {name}"

    def refuse(name: str) -> None:
        raise ToolError(f"{name} is not welcome")

    codemode.registry.register_tool("people.greet", lambda name: f"hello {name}")
    codemode.registry.register_tool("people.agreet", agreet)
    codemode.registry.register_tool("people.refuse", refuse)
    return codemode


def lines(log: pytest.LogCaptureFixture, execution_id: str) -> list[str]:
    """Return the logged lines, with the id and the times replaced by placeholders."""
    messages = [one.getMessage() for one in log.records if one.name.startswith("codemode.")]
    return [
        re.sub(r"in [\d.]+ ms", "in ~ ms", message).replace(execution_id, "#")
        for message in messages
    ]


def test_an_execution_and_its_calls_are_logged_with_names_and_times(
    half: Half, facade: Codemode, log: pytest.LogCaptureFixture
) -> None:
    code = "print(key)\n[people.greet(name=key), await people.agreet(name=key)]"
    with facade.registry.context(tenant_id=f"tenant {SECRET}", api_key=SECRET):
        result = half.run(facade, code, inputs={"key": SECRET})
    assert result.ok, result.error

    assert lines(log, result.execution_id) == [
        "Execution # begins: context api_key, tenant_id; 3 tools; 30 s",
        "Execution # calls people.greet (call 1)",
        "Execution #: people.greet (call 1) completed in ~ ms",
        "Execution # calls people.agreet (call 2)",
        "Execution #: people.agreet (call 2) completed in ~ ms",
        "Execution # completed in ~ ms after 2 tool calls",
    ]
    assert SECRET not in log.text
    records = [one for one in log.records if one.name.startswith("codemode.")]
    assert {vars(one)["execution_id"] for one in records} == {result.execution_id}
    assert {one.levelname for one in records} == {"DEBUG"}
    begin, called, ended, *_, end = records
    assert vars(begin)["context_names"] == ["api_key", "tenant_id"]
    assert (vars(called)["tool"], vars(called)["call_id"]) == ("people.greet", 1)
    assert 0 < vars(ended)["duration_ms"] < vars(end)["duration_ms"]


def test_failures_are_logged_by_their_type_alone(
    half: Half, facade: Codemode, log: pytest.LogCaptureFixture
) -> None:
    code = f"people.refuse(name={SECRET!r})"
    result = half.run(facade, code)

    assert lines(log, result.execution_id)[-2:] == [
        "Execution #: people.refuse (call 1) failed in ~ ms: ToolError",
        "Execution # failed in ~ ms after 1 tool calls: ToolError",
    ]
    assert SECRET not in log.text


def test_refused_calls_are_logged_and_cannot_fake_a_line(
    half: Half, facade: Codemode, log: pytest.LogCaptureFixture
) -> None:
    code = (
        "class Fake(Exception): pass\n"
        "Fake.__name__ = 'Odd\\nERROR codemode: all is lost'\n"
        "try:\n    tools['people.greet'].run(nobody=1)\nexcept ToolError:\n    raise Fake from None"
    )
    result = half.run(facade, code)

    told = lines(log, result.execution_id)
    assert told[2] == "Execution #: people.greet (call 1) refused in ~ ms: InvalidArguments"
    assert told[-1].startswith("Execution # failed in ~ ms after 1 tool calls: ")
    assert not any("\n" in line for line in told)


def test_the_end_of_an_abandoned_or_lost_run_is_logged_too(
    facade: Codemode, log: pytest.LogCaptureFixture
) -> None:
    with facade.stream("people.greet(name='x')\nimport time\ntime.sleep(60)") as events:
        for event in events:
            if type(event).__name__ == "ToolCallFinished":
                break
    assert re.search(r"Execution \w+ cancelled in .* after 1 tool calls: Cancelled", log.text)

    log.clear()
    config = ClientConfig(executor_url="unix:/nowhere/at/all", connect_timeout=0.2)
    with Codemode.from_client_config(config) as lost, pytest.raises(ExecutorConnectionError):
        lost.run("1")
    assert re.search(r"Execution \w+ ended in .*: ExecutorConnectionError", log.text)


async def test_the_end_of_a_cancelled_task_and_its_tool_is_logged_too(
    facade: Codemode, log: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()

    async def wait() -> None:
        began.set()
        await asyncio.sleep(60)

    facade.registry.register_tool("wait", wait)
    task = asyncio.create_task(facade.run_async("await wait()"))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert re.search(r"Execution \w+: wait \(call 1\) cancelled in .*: Cancelled", log.text)
    assert re.search(r"Execution \w+ cancelled in .*: Cancelled", log.text)


def test_runs_of_a_session_are_logged_one_by_one(
    facade: Codemode, log: pytest.LogCaptureFixture
) -> None:
    with facade.session() as session:
        ids = [session.run("1").execution_id, session.run("1").execution_id]
    for execution_id in ids:
        assert len([one for one in log.records if execution_id in one.getMessage()]) == 2


def test_nothing_is_logged_above_debug(
    half: Half, facade: Codemode, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="codemode"):
        half.run(facade, "people.greet(name='x')")
        half.run(facade, "1 / 0")
    assert caplog.records == []
