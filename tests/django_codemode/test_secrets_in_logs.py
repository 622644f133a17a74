"""No secret and no value is logged, even with every logger of process and executor at DEBUG."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from codemode.core.context import RuntimeContext, use_context
from codemode.errors import ExecutorAuthenticationError
from django_codemode import SYSTEM
from django_codemode.conf import get_settings
from django_codemode.shared import get_codemode, shared
from tests.support.commands import call
from tests.support.paths import ROOT
from tests.support.processes import ExecutorProcess

SECRETS = {
    "executor key": "Key-51a0-of-the-executor",
    "fairness key": "Fair-62b1",
    "tenant": "Tenant-73c2",
    "context value": "Context-84d3",
    "input": "Input-95e4",
    "code": "Code-a6f5",
    "output": "Output-b7a6",
    "argument": "Argument-c8b7",
    "returned value": "Returned-d9c8",
    "result": "Result-ead9",
    "raised in the code": "Raised-fbea",
}

CODE = f"""
kept = '{SECRETS["code"]}'
print('Output', 'b7a6', sep='-')
progress(1, 2, note=kept)
given = secret_echo(text='Argument' + '-c8b7', more=x)
result = [given, 'Result' + '-ead9']
"""


def secret_echo(text: str, more: Any = None) -> str:
    """Return a text that only the tool knows."""
    return SECRETS["returned value"]


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Capture every existing logger, whatever its level was."""
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    former = [(logger, logger.level, logger.propagate) for logger in loggers]
    with caplog.at_level(logging.DEBUG):
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
            logger.propagate = True
        yield caplog
    for logger, level, propagate in former:
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture
def executor(everything: pytest.LogCaptureFixture) -> Iterator[ExecutorProcess]:
    key = {"CODEMODE_EXECUTOR_API_KEY": SECRETS["executor key"]}
    shared.registry.register_tool("secret_echo", secret_echo)
    with ExecutorProcess("--log-level", "DEBUG", environment=key) as process:
        setting = {
            "EXECUTOR_URL": process.url,
            "EXECUTOR_API_KEY": SECRETS["executor key"],
            "FAIRNESS_KEY": SECRETS["fairness key"],
            "TENANT_HEADER": "X-Tenant",
        }
        with override_settings(CODEMODE=setting):
            yield process
    shared.registry.unregister_tool("secret_echo")


def told(logs: pytest.LogCaptureFixture, executor: ExecutorProcess) -> str:
    """Return everything that was logged, with all attributes of the records."""
    attached = [str(vars(record)) for record in logs.records]
    return "\n".join([logs.text, *attached, executor.log])


def assert_no_secret(text: str) -> None:
    known = {**SECRETS, "SECRET_KEY": settings.SECRET_KEY}
    assert [what for what, secret in known.items() if secret in text] == []


async def test_runs_of_every_kind_log_no_value(
    everything: pytest.LogCaptureFixture, executor: ExecutorProcess
) -> None:
    codemode = get_codemode()
    inputs = {"x": SECRETS["input"]}
    context = RuntimeContext(
        {"tenant_id": SECRETS["tenant"], "password": SECRETS["context value"], "user": SYSTEM}
    )
    with use_context(context):
        results = [await codemode.run_async(CODE, inputs=inputs)]
        async with codemode.session() as session:
            results.append(await session.run_async(CODE, inputs=inputs))
        failing = f"{CODE}\nraise ValueError('Raised' + '-fbea')"
        results.append(await codemode.run_async(failing, inputs=inputs))
        results.append(await codemode.run_async("secret_echo(txt='Argument' + '-c8b7')"))
        results.append(await codemode.run_async("tools['Argument-c8b7'].run()"))

    assert [result.status for result in results] == ["completed"] * 2 + ["failed"] * 3
    assert results[0].value == [SECRETS["returned value"], SECRETS["result"]]
    text = told(everything, executor)
    assert all(result.execution_id in text for result in results)
    assert "context password, tenant_id, user" in text
    assert_no_secret(text.replace("'Argument-c8b7'", "?"))


@pytest.mark.django_db
def test_views_and_commands_log_no_value(
    everything: pytest.LogCaptureFixture, executor: ExecutorProcess, coder: User
) -> None:
    client = Client(headers={"X-Tenant": SECRETS["tenant"]})
    client.force_login(coder)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    for path in ("execute", "stream"):
        body = json.dumps({"code": CODE, "inputs": {"x": SECRETS["input"]}})
        response = client.post(f"/codemode/{path}/", body, content_type="application/json")
        answer = b"".join(response) if response.streaming else response.content
        assert SECRETS["result"].encode() in answer
    wrong = json.dumps({"code": CODE, "inputs": SECRETS["input"]})
    assert client.post("/codemode/execute/", wrong, "application/json").status_code == 400
    arguments = ["--context", f"tenant_id={SECRETS['tenant']}", "--input"]
    assert call("codemode_exec", CODE, *arguments, f'x="{SECRETS["input"]}"')[0] == 0

    text = told(everything, executor)
    assert text.count("begins: context") >= 3
    assert_no_secret(text)
    assert cookie not in text


def test_a_wrong_key_is_refused_and_shown_nowhere(
    everything: pytest.LogCaptureFixture, executor: ExecutorProcess
) -> None:
    wrong = {"EXECUTOR_URL": executor.url, "EXECUTOR_API_KEY": "Wrong-0cfb"}
    with (
        override_settings(CODEMODE=wrong),
        pytest.raises(ExecutorAuthenticationError) as caught,
    ):
        get_codemode().run("1")
    text = told(everything, executor) + str(caught.value)
    assert "Wrong-0cfb" not in text
    assert_no_secret(text)


def test_settings_are_shown_without_their_keys(executor: ExecutorProcess) -> None:
    client = get_codemode().client
    shown = f"{get_settings()!r} {get_settings().client_config()!r} {client!r} {vars(client)!r}"
    assert_no_secret(shown)


def loggers_of_the_code() -> set[str]:
    found = set()
    for package in ("codemode", "django_codemode"):
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for argument in re.findall(r"getLogger\((.*?)\)", path.read_text("utf-8")):
                found.add(module if argument == "__name__" else argument.strip('"'))
    return found


def test_every_logger_is_documented_and_every_documented_one_exists() -> None:
    page = (ROOT / "docs" / "reference" / "signals.md").read_text("utf-8").partition("## Logs")[2]
    documented = set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE)) - {"django.dispatch"}
    used = loggers_of_the_code()

    def below(name: str, parent: str) -> bool:
        return name == parent or name.startswith(f"{parent}.")

    assert [name for name in used if not any(below(name, one) for one in documented)] == []
    assert [one for one in documented if not any(below(name, one) for name in used)] == []
