"""Promises of django_codemode.testing, to our own tests and to those of a project."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import AsyncClient, Client, TestCase, override_settings

from codemode import ConfigurationError, ToolError
from codemode.core.context import get_current_context
from django_codemode import get_codemode, testing
from django_codemode.shared import shared
from django_codemode.testing import (
    CodemodeTester,
    CodemodeTestMixin,
    close_executor,
    run_as,
    runtime_context,
)
from shop.models import Merchant
from tests.support.paths import ROOT
from tests.support.processes import is_running


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    close_executor()


@pytest.fixture
def steady() -> Iterator[None]:
    """Register a sync and an asynchronous tool that tests may replace."""

    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    async def triple(number: int) -> int:
        """Triple a number."""
        return 3 * number

    for tool in (double, triple):
        shared.registry.register_tool(None, tool)
    before = dict(shared.registry.tools)
    yield
    after = dict(shared.registry.tools)
    for name in ("double", "triple"):
        shared.registry.unregister_tool(name)
    assert after == before


@pytest.fixture
def codemode(steady: None) -> Iterator[CodemodeTester]:
    with CodemodeTester() as tester:
        yield tester


class TestExecutor:
    def test_the_executor_starts_on_first_use_and_is_shared_by_all_tests(self) -> None:
        close_executor()
        with CodemodeTester() as tester:
            assert testing._executor is None
            assert tester.run("6 * 7").value == 42
            first = testing._executor
            assert first is not None
            pid = first.pid
        with CodemodeTester() as tester:
            assert tester.run("1").ok
            assert testing._executor is first
            assert first.pid == pid
        close_executor()
        assert pid is not None
        assert not is_running(pid)

    def test_no_setting_and_no_variable_leads_a_test_to_another_executor(
        self, codemode: CodemodeTester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CODEMODE_EXECUTOR_URL", "http://127.0.0.1:1")
        with override_settings(CODEMODE={"EXECUTOR_API_KEY": "key", "TLS": {}}):
            assert codemode.run("1").value == 1
        with override_settings(CODEMODE={"EXECUTOR_URL": "http://127.0.0.1:1"}):
            assert codemode.run("1").value == 1

    def test_the_limits_of_the_project_hold(self, codemode: CodemodeTester) -> None:
        with override_settings(CODEMODE={"LIMITS": {"max_tool_calls": 1}}):
            codemode.run("testapp.lazy(); testapp.lazy()")
        codemode.assert_calls("testapp.lazy")

    def test_the_least_isolation_of_the_project_holds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CODEMODE_EXECUTOR_MIN_TIER")
        assert _min_tier() == "C"
        with override_settings(CODEMODE={"MIN_TIER": "B"}):
            assert _min_tier() == "B"
        monkeypatch.setenv("CODEMODE_EXECUTOR_MIN_TIER", "unsafe")
        assert _min_tier() is None  # the executor reads the variable itself

    def test_the_former_state_comes_back(self) -> None:
        assert shared.executor is None
        with CodemodeTester():
            with CodemodeTester() as inner:
                assert inner.run("1").ok
            assert shared.executor is not None
        assert shared.executor is None
        assert shared.registry.observers == ()


def _min_tier() -> str | None:
    made: list[str | None] = []

    class NotStarted:
        def __init__(self, *, log_file: Path | None, min_tier: str | None) -> None:
            made.append(min_tier)

        def address(self) -> str:
            return "unix:/nowhere"

        def close(self) -> None:
            pass

    close_executor()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "EmbeddedExecutor", NotStarted)
        testing._address()
    close_executor()
    return made[0]


class TestContext:
    def test_code_runs_as_a_user_with_variables(self, codemode: CodemodeTester) -> None:
        with run_as(User(username="alice")), runtime_context(tenant_id="acme"):
            value = codemode.run("testapp.whoami()").value
        assert value == {"user": "alice", "tenant_id": "acme"}
        assert get_current_context() is None

    def test_permissions_are_those_of_the_user(self, codemode: CodemodeTester) -> None:
        with run_as(User(username="root", is_superuser=True)):
            assert codemode.run("testapp.secret()").value == "the secret"
        with run_as(AnonymousUser()):
            assert not codemode.run("testapp.secret()").ok
        codemode.assert_called("testapp.secret", outcome="completed", times=1)
        codemode.assert_called("testapp.secret", outcome="refused", times=1)

    @run_as(User(username="bob"))
    @runtime_context(tenant_id="zoo")
    async def test_both_decorate_tests(self, codemode: CodemodeTester) -> None:
        value = (await codemode.run_async("testapp.whoami()")).value
        assert value == {"user": "bob", "tenant_id": "zoo"}


class TestCalls:
    def test_calls_are_asserted_by_name_arguments_outcome_and_order(
        self, codemode: CodemodeTester, steady: None
    ) -> None:
        codemode.run("double(1)\ndouble(number=2)\nawait triple(3)")
        codemode.assert_calls("double", ("double", {"number": 2}), "triple")
        call = codemode.assert_called("double", {"number": 2}, outcome="completed", times=1)
        assert call.arguments == {"number": 2}
        codemode.assert_not_called("refund")
        assert [one.name for one in codemode.calls] == ["double", "double", "triple"]

    @pytest.mark.parametrize(
        "expected",
        [
            [],
            ["double"],
            ["triple", "double"],
            ["double", "triple", "double"],
            [("double", {"number": 2}), "triple"],
            [("double", {}), "triple"],
        ],
    )
    def test_other_calls_than_expected_fail_and_are_shown(
        self, expected: list[Any], codemode: CodemodeTester, steady: None
    ) -> None:
        codemode.run("double(1)\nawait triple(3)")
        with pytest.raises(AssertionError) as caught:
            codemode.assert_calls(*expected)
        shown = "double({'number': 1}): completed; triple({'number': 3}): completed"
        assert shown in str(caught.value)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"name": "triple"}, "expected a call of 'triple'; made were double({'number': 1})"),
            ({"name": "double", "arguments": {"number": 2}}, "with {'number': 2}"),
            ({"name": "double", "arguments": {"other": 1}}, "with {'other': 1}"),
            ({"name": "double", "outcome": "failed"}, "with the outcome 'failed'"),
            ({"name": "double", "times": 2}, "2 times, and 1 fit"),
        ],
    )
    def test_a_call_that_does_not_match_fails_and_shows_why(
        self, arguments: dict[str, Any], message: str, codemode: CodemodeTester, steady: None
    ) -> None:
        codemode.run("double(1)")
        with pytest.raises(AssertionError) as caught:
            codemode.assert_called(**arguments)
        assert message in str(caught.value)

    def test_the_failure_shows_the_outcome_of_each_run(
        self, codemode: CodemodeTester, steady: None
    ) -> None:
        with pytest.raises(AssertionError, match="made were none; no code was executed"):
            codemode.assert_called("double")
        codemode.run("double(1)")
        codemode.run("tools['doubel'].run(number=2)")
        codemode.run("double('many')")
        with pytest.raises(AssertionError) as caught:
            codemode.assert_called("triple")
        told = str(caught.value)
        assert "double({'number': 1}): completed; double({'number': 'many'}): refused (" in told
        assert "\n  run 1: completed\n  run 2: failed: UnknownToolError: " in told
        assert "must be a whole number" in told.partition("\n  run 3: failed: ")[2]

    def test_run_ok_returns_the_value_or_fails_with_the_error_of_the_code(
        self, codemode: CodemodeTester, steady: None
    ) -> None:
        assert codemode.run_ok("double(number)", inputs={"number": 4}) == 8
        with pytest.raises(AssertionError) as caught:
            codemode.run_ok("x = 1\n1/0")
        told = str(caught.value)
        assert "did not complete; failed: ZeroDivisionError: division by zero (line 2)" in told
        assert "1/0" in told.partition("(line 2)")[2]
        with pytest.raises(AssertionError, match="timeout: Timeout: the code ran longer than"):
            codemode.run_ok("while True: pass", execution_timeout=0.2)
        assert [result.status for result in codemode.results] == ["completed", "failed", "timeout"]

    @pytest.mark.parametrize(
        ("method", "argument"),
        [
            ("assert_calls", "refund"),
            ("assert_called", "refund"),
            ("assert_not_called", "double"),
            ("run_ok", "1/0"),
        ],
    )
    def test_the_traceback_of_a_failure_shows_the_test_alone(
        self, method: str, argument: str, codemode: CodemodeTester, steady: None
    ) -> None:
        codemode.run("double(1)")
        with pytest.raises(AssertionError) as caught:
            getattr(codemode, method)(argument)
        shown = caught.traceback.filter(caught)
        assert {Path(entry.path) for entry in shown} == {Path(__file__)}

    def test_an_unexpected_call_fails(self, codemode: CodemodeTester, steady: None) -> None:
        codemode.run("double(1)")
        with pytest.raises(AssertionError, match="expected no call of 'double'; made were double"):
            codemode.assert_not_called("double")

    @pytest.mark.django_db
    def test_calls_of_the_projects_own_executions_count(
        self, codemode: CodemodeTester, client: Client
    ) -> None:
        client.post("/run/", {"code": "testapp.lazy()"}, content_type="application/json")
        codemode.assert_calls("testapp.lazy")
        assert codemode.results[0].ok


class TestReplacing:
    def test_a_replacement_answers_with_checked_arguments_until_the_end(self, steady: None) -> None:
        with CodemodeTester() as codemode:
            codemode.replace_tool("double", lambda number: number + 100)
            codemode.replace_tool("triple", lambda number: number + 200)
            code = "double('1'), await triple(1)"
            assert codemode.run(code).value == (101, 201)
            assert not codemode.run("double('one')").ok
        assert get_codemode().run("double(1), await triple(1)").value == (2, 3)

    def test_a_replacement_may_end_with_a_block(
        self, codemode: CodemodeTester, steady: None
    ) -> None:
        with codemode.replace_tool("double", lambda number: 0):
            with codemode.replace_tool("double", lambda number: 1):
                assert codemode.run("double(1)").value == 1
            assert codemode.run("double(1)").value == 0
        assert codemode.run("double(1)").value == 2

    def test_an_asynchronous_replacement_is_for_asynchronous_tools(
        self, codemode: CodemodeTester, steady: None
    ) -> None:
        async def answer(number: int) -> int:
            return 7

        codemode.replace_tool("triple", answer)
        assert codemode.run("await triple(1)").value == 7
        with pytest.raises(TypeError, match="'double' is a sync tool"):
            codemode.replace_tool("double", answer)

    def test_a_replacement_keeps_the_permission(self, codemode: CodemodeTester) -> None:
        codemode.replace_tool("testapp.secret", lambda: "another secret")
        result = codemode.run("testapp.secret()")
        assert result.error is not None
        assert "not permitted" in result.error.message

    def test_a_name_that_is_not_a_tool_is_refused_with_a_suggestion(
        self, codemode: CodemodeTester, steady: None
    ) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'double'"):
            codemode.replace_tool("doubel", lambda: None)

    @pytest.mark.parametrize("call", ["double(1)", "await triple(1)"])
    def test_the_code_gets_the_failure(
        self, call: str, codemode: CodemodeTester, steady: None
    ) -> None:
        name = "double" if "double" in call else "triple"
        codemode.fail_tool(name, ToolError("the bank is closed"))
        result = codemode.run(
            f"try:\n    {call}\nexcept ToolError as error:\n    result = str(error)"
        )
        assert "the bank is closed" in result.value
        codemode.assert_called(name, outcome="failed")

    @pytest.mark.parametrize("call", ["double(1)", "await triple(1)"])
    def test_a_delay_lets_a_tool_run_into_the_timeout(
        self, call: str, codemode: CodemodeTester, steady: None
    ) -> None:
        name = "double" if "double" in call else "triple"
        codemode.delay_tool(name, 0.2)
        began = time.monotonic()
        assert codemode.run(call).value in (2, 3)
        assert time.monotonic() - began >= 0.2
        with codemode.delay_tool(name, 5):
            assert codemode.run(call, execution_timeout=1).status == "timeout"

    @pytest.mark.parametrize(
        ("half", "call", "name", "outcome"),
        [
            ("sync", "double(1)", "double", "completed"),
            ("async", "double(1)", "double", None),  # its thread may still be working
            ("sync", "await triple(1)", "triple", "cancelled"),
            ("async", "await triple(1)", "triple", "cancelled"),
        ],
    )
    def test_a_cancelled_execution_is_on_record(
        self,
        half: str,
        call: str,
        name: str,
        outcome: Any,
        codemode: CodemodeTester,
        steady: None,
    ) -> None:
        codemode.cancel_in_tool(name)
        code = f"{call}\ntestapp.lazy()"
        result = codemode.run(code) if half == "sync" else asyncio.run(codemode.run_async(code))
        assert result.status == "cancelled"
        codemode.assert_called(name, outcome=outcome)
        codemode.assert_not_called("testapp.lazy")
        assert codemode.run("1").ok


class TestRows(CodemodeTestMixin, TestCase):
    """Rows that the test has written and not committed, seen by tools in every way of running."""

    def setUp(self) -> None:
        super().setUp()
        Merchant.objects.create(slug="uncommitted", name="n", currency="EUR")

    def test_sync(self) -> None:
        result = self.codemode.run("testapp.slugs(), await testapp.aslugs()")
        assert result.value == (["uncommitted"], ["uncommitted"])

    async def test_async(self) -> None:
        result = await self.codemode.run_async("testapp.slugs(), await testapp.aslugs()")
        assert result.value == (["uncommitted"], ["uncommitted"])
        self.codemode.assert_calls("testapp.slugs", "testapp.aslugs")

    def test_the_test_sees_what_a_tool_writes(self) -> None:
        assert self.codemode.run("testapp.add('new')").ok
        assert Merchant.objects.filter(slug="new").exists()

    def test_a_view_sees_the_row(self) -> None:
        answer = self.client.post(
            "/run/", {"code": "testapp.slugs()"}, content_type="application/json"
        )
        assert answer.json()["value"] == ["uncommitted"]

    async def test_an_async_view_sees_the_row(self) -> None:
        answer = await AsyncClient().post(
            "/arun/", {"code": "testapp.slugs()"}, content_type="application/json"
        )
        assert answer.json()["value"] == ["uncommitted"]


TOOLS = """
from codemode import tool
from notes.models import Note

@tool(permission="notes.add_note")
def add_note(text: str) -> int:
    "Add a note."
    return Note.objects.create(text=text).pk

@tool
def count_notes() -> int:
    "Count the notes."
    return Note.objects.count()

@tool
async def acount_notes() -> int:
    "Count the notes, from a task."
    return await Note.objects.acount()
"""

PYTEST_TESTS = """
import pytest
from asgiref.sync import async_to_sync
from django_codemode.testing import run_as, runtime_context
from notes.models import Note

@pytest.mark.django_db
def test_rows(codemode, admin_user):
    Note.objects.create(text="uncommitted")
    assert codemode.run("count_notes(), await acount_notes()").value == (1, 1)
    with run_as(admin_user):
        assert codemode.run("add_note('two')").ok
    assert Note.objects.count() == 2
    codemode.assert_calls("count_notes", "acount_notes", ("add_note", {"text": "two"}))

@pytest.mark.django_db
def test_nothing_is_left_of_the_test_before(codemode):
    assert codemode.calls == []
    assert codemode.run("count_notes()").value == 0

@pytest.mark.django_db
def test_a_task(codemode):
    Note.objects.create(text="uncommitted")
    result = async_to_sync(codemode.run_async)("count_notes(), await acount_notes()")
    assert result.value == (1, 1)

async def test_async(codemode):
    codemode.replace_tool("acount_notes", lambda: 7)
    assert (await codemode.run_async("await acount_notes()")).value == 7

@pytest.mark.django_db(transaction=True)
async def test_async_with_committed_rows(codemode):
    await Note.objects.acreate(text="committed")
    result = await codemode.run_async("count_notes(), await acount_notes()")
    assert result.value == (1, 1)

def test_a_failing_assertion(codemode):
    codemode.assert_called("add_note")
"""

DJANGO_TESTS = """
from django.test import TestCase
from django_codemode.testing import CodemodeTestMixin
from notes.models import Note

class NotesTest(CodemodeTestMixin, TestCase):
    def test_rows(self):
        Note.objects.create(text="uncommitted")
        self.assertEqual(self.codemode.run("count_notes()").value, 1)

    async def test_async_rows(self):
        await Note.objects.acreate(text="uncommitted")
        result = await self.codemode.run_async("count_notes(), await acount_notes()")
        self.assertEqual(result.value, (1, 1))
"""

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django_codemode", "notes"
]
MIDDLEWARE = ["django_codemode.middleware.CodemodeMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3",
                         "TEST": {"NAME": "test.sqlite3"}}}
CODEMODE = {"EXECUTOR_URL": "https://executor.internal:8001"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Create a project with an app and its tests, without anything of ours."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for name, source in {
        "__init__.py": "",
        "models.py": """
            from django.db import models

            class Note(models.Model):
                text = models.TextField()
        """,
        "codemode_tools.py": TOOLS,
        "test_with_pytest.py": PYTEST_TESTS,
        "tests.py": DJANGO_TESTS,
    }.items():
        (notes / name).write_text(textwrap.dedent(source))
    (tmp_path / "scratch_settings.py").write_text(SETTINGS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nDJANGO_SETTINGS_MODULE = scratch_settings\nasyncio_mode = auto\n"
        "asyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
        "python_files = test_*.py\n"
    )
    return tmp_path


def in_project(project: Path, *command: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, [project, ROOT])),
            "DJANGO_SETTINGS_MODULE": "scratch_settings",
            "CODEMODE_EXECUTOR_MIN_TIER": os.environ["CODEMODE_EXECUTOR_MIN_TIER"],
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout


def test_a_project_uses_the_fixture_with_pytest(project: Path) -> None:
    status, told = in_project(
        project, "pytest", "-p", "django_codemode.pytest_plugin", "-p", "no:cacheprovider"
    )
    assert re.search(r"=+ 1 failed, 5 passed in", told), told
    assert "AssertionError: expected a call of 'add_note'; made were none" in told
    assert status == 1


CASSETTE_TESTS = """
import pytest
from notes.models import Note

@pytest.mark.parametrize("number", [1, 2])
def test_a_view(codemode, codemode_cassette, client, number):
    if codemode_cassette.recording:
        Note.objects.bulk_create([Note(text="uncommitted")] * number)
    assert client.get("/count/").json() == {"count": number}
    assert [call.name for call in codemode_cassette.calls] == ["count_notes"]

async def test_a_view_from_a_task(codemode, codemode_cassette, async_client):
    assert (await async_client.get("/count/")).json() == {"count": 0}
"""

COUNTING_VIEW = """
from django.http import JsonResponse
from django.urls import path
from django_codemode import get_codemode

def count(request):
    return JsonResponse({"count": get_codemode().run("count_notes()").value})

urlpatterns = [path("count/", count)]
"""


def test_a_project_answers_its_views_from_cassettes_without_the_database(project: Path) -> None:
    folder = project / "notes"
    (folder / "test_cassettes.py").write_text(CASSETTE_TESTS)
    (folder / "urls.py").write_text(COUNTING_VIEW)
    with (project / "scratch_settings.py").open("a") as settings:
        settings.write("ROOT_URLCONF = 'notes.urls'\n")

    def run(*options: str) -> str:
        common = ("-p", "django_codemode.pytest_plugin", "-p", "no:cacheprovider")
        return in_project(project, "pytest", *common, "notes/test_cassettes.py", *options)[1]

    told = run("--codemode-record")
    assert re.search(r"=+ 3 passed in", told), told
    assert {path.name for path in folder.rglob("*.json")} == {
        "test_a_view[1].json",
        "test_a_view[2].json",
        "test_a_view_from_a_task.json",
    }
    # pytest-django lets no test touch the database that has not asked for it.
    assert re.search(r"=+ 3 passed in", told := run()), told
    (folder / "urls.py").write_text(COUNTING_VIEW.replace("count_notes()", "count_notes() + 1"))
    assert "AssertionError: assert {'count': 2} == {'count': 1}" in run("-k", "test_a_view[1]")
    (folder / "urls.py").write_text(COUNTING_VIEW.replace("count_notes()", "2 * len('ab')"))
    told = run("-k", "test_a_view[1]")
    assert re.search(r"-count_notes\(\)\nE +To record it: pytest --codemode-rerecord ", told), told


def test_the_fixture_needs_the_plugin(project: Path) -> None:
    _, told = in_project(project, "pytest", "-p", "no:cacheprovider", "-k", "test_rows")
    assert "fixture 'codemode' not found" in told


def test_a_project_uses_the_mixin_with_djangos_runner(project: Path) -> None:
    status, told = in_project(project, "django", "test", "notes.tests", "-v0")
    assert status == 0, told
    assert "Ran 2 tests" in told


@pytest.mark.parametrize("block", [run_as(None), runtime_context(tenant_id="acme")])
def test_a_test_class_cannot_be_decorated(block: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot decorate the class .*Tests, only functions"):

        @block
        class Tests(TestCase): ...
