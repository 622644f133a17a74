from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

import psutil
import pytest
from django.contrib.auth.models import Permission, User
from django.test import override_settings

from codemode.core.context import get_current_context
from django_codemode.shared import shared
from tests.support import commands
from tests.support.paths import ROOT

call = partial(commands.call, "codemode_exec")
start = partial(commands.start, "codemode_exec")
run = partial(commands.run, "codemode_exec")


class TestOutput:
    def test_the_result_comes_last_on_stdout(self) -> None:
        assert call("print('hi')\n{'n': 1}") == (0, 'hi\n{"n": 1}\n', "")

    def test_a_text_is_printed_as_it_is_and_none_not_at_all(self) -> None:
        assert call("'text'") == (0, "text\n", "")
        assert call("None") == (0, "", "")

    def test_the_codes_stderr_goes_to_stderr(self) -> None:
        assert call("import sys; print('oops', file=sys.stderr)") == (0, "", "oops\n")

    def test_hints_go_to_stderr(self) -> None:
        hint = "main(...) in x was called but never awaited, so it has not run"
        code = "async def main(): pass\nx = main()\n1"
        assert call(code) == (0, "1\n", f"hint: {hint}; write await main(...)\n")
        assert call(code, "--json")[2] == ""

    def test_a_failure_shows_the_users_frames(self) -> None:
        status, out, err = call("print('before')\n1/0")

        assert (status, out) == (1, "before\n")
        assert 'File "<code>", line 2' in err
        assert err.endswith("ZeroDivisionError: division by zero (line 2)")

    def test_json_is_one_object_with_everything(self) -> None:
        status, out, err = call("print('hi')\nresult = testapp.lazy()", "--json")

        assert (status, err) == (0, "")
        outcome = json.loads(out)
        assert outcome["value"] == ["Save", {"label": "Cancel"}]
        assert outcome["stdout"] == "hi\n"
        assert outcome["tool_calls"][0]["name"] == "testapp.lazy"

    def test_json_reports_a_failure_too(self) -> None:
        status, out, _ = call("1/0", "--json")
        assert status == 1
        assert json.loads(out)["error"]["type"] == "ZeroDivisionError"


class TestArtifacts:
    GIVES = "open('a.csv', 'w').write(text)\nartifact('a.csv')"

    def test_they_are_named_on_stderr(self) -> None:
        assert call(f"text = 'a,b'\n{self.GIVES}\n7") == (
            *(0, "7\n"),
            "artifact: a.csv (3 bytes)\n--artifacts FOLDER writes them to a folder\n",
        )
        status, out, err = call(f"text = 'a,b'\n{self.GIVES}", "--json")
        assert (status, err) == (0, "")
        assert json.loads(out)["artifacts"][0]["data"] == "YSxi"

    @pytest.mark.parametrize("as_json", [False, True])
    def test_they_are_written_and_overwrite_nothing(self, tmp_path: Path, as_json: bool) -> None:
        folder = tmp_path / "new" / "folder"
        (tmp_path / "elsewhere").touch()
        options = ["--artifacts", str(folder), *["--json"] * as_json]
        for text, name in (("one", "a.csv"), ("two", "a-2.csv"), ("three", "a-4.csv")):
            status, _, err = call(f"text = {text!r}\n{self.GIVES}\n1 / 0", *options)
            assert status == 1
            assert f"artifact: a.csv ({len(text)} bytes): {folder / name}\n" in err
            assert (folder / name).read_text() == text
            if name == "a-2.csv":
                (folder / "a-3.csv").symlink_to(tmp_path / "elsewhere")
        assert (folder / "a.csv").read_text() == "one"
        assert (tmp_path / "elsewhere").read_text() == ""

    def test_a_folder_that_cannot_be_made_is_refused_before_the_run(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        status, out, err = call("print('ran')", "--artifacts", str(tmp_path / "file"))
        assert (status, out) == (2, "")
        assert "is not a folder and cannot be made: File exists" in err

    def test_each_run_of_a_session_writes_its_own(self, tmp_path: Path) -> None:
        cells = f"text = 'one'\n{self.GIVES}\n# %%\ntext = 'two'\n{self.GIVES}\n"
        status, _, err = run("--session", "--artifacts", str(tmp_path), stdin=cells)
        assert status == 0, err
        assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {
            "a.csv": "one",
            "a-2.csv": "two",
        }


class TestArguments:
    def test_inputs_are_json(self) -> None:
        assert call("a + b", "--input", "a=[1]", "--input", "b=[2]")[1] == "[1, 2]\n"

    def test_the_code_may_be_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "code.py"
        file.write_text("result = 'ä'", encoding="utf-8")
        assert call("-f", str(file))[1] == "ä\n"

    def test_the_tools_may_be_narrowed(self) -> None:
        assert call("testapp.lazy()", "--tools", "testapp.lazy, refund")[0] == 0
        assert call("testapp.lazy()", "--tools", "testapp.*")[0] == 0
        assert call("testapp.lazy()", "--tools", "")[0] == 1

    def test_the_context_is_what_tools_see(self) -> None:
        status, out, _ = call("testapp.whoami()", "--context", "tenant_id=acme")
        assert status == 0
        assert json.loads(out) == {"tenant_id": "acme", "user": "django_codemode.SYSTEM"}
        assert get_current_context() is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the code as one of CODE, -f FILE, or - for stdin"),
        (["1", "-f", "x"], "give the code as one of"),
        (["-f", "/no/such/file"], "'/no/such/file' cannot be read: No such file"),
        (["-f", str(ROOT)], "cannot be read: Is a directory"),
        (["a", "--input", "a"], "--input 'a' is not NAME=JSON"),
        (["a", "--input", "a=b"], """a text needs its quotes, as in 'a="text"'"""),
        (["a", "--input", "a b=1"], "expected a Python identifier"),
        (["1", "--context", "=x"], "--context '=x' is not NAME=TEXT"),
        (["1", "--context", "user=root"], "use --user NAME"),
        (["1", "--tools", "refnd"], "did you mean 'refund'?"),
        (["1", "--timeout", "-1"], "execution_timeout: Input should be greater than 0"),
        (["\udc80"], "the code is not text in UTF-8"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_right_usage(
    arguments: list[str], message: str
) -> None:
    status, out, err = call(*arguments)

    assert (status, out) == (2, "")
    assert message in err


class TestExitStatus:
    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("1", 0),
            ("1/0", 1),
            ("def", 1),
            ("import sys; sys.exit(0)", 1),
            ("object()", 1),
            ("no_such_tool()", 1),
            ("while True: pass", 4),
            ("import os; os._exit(0)", 4),
        ],
    )
    def test_the_exit_status_shows_the_outcome_of_the_code(self, code: str, status: int) -> None:
        hurry = ["--timeout", "1"] if code.startswith("while") else []
        assert call(code, *hurry)[0] == status

    def test_a_wrong_setting_is_2(self) -> None:
        with override_settings(CODEMODE={"PROFIL": "x"}):
            status, _, err = call("1")
        assert status == 2
        assert "did you mean 'PROFILE'?" in err

    def test_a_profile_that_the_executor_lacks_is_3(self) -> None:
        status, _, err = call("1", "--profile", "science")
        assert status == 3
        assert "there is no profile 'science'" in err

    def test_no_executor_is_3(self) -> None:
        with override_settings(
            CODEMODE={"EXECUTOR_URL": "http://127.0.0.1:1", "CONNECT_TIMEOUT": 0}
        ):
            status, out, err = call("1")
        assert (status, out) == (3, "")
        assert "http://127.0.0.1:1 cannot be reached" in err


@pytest.mark.django_db
class TestUser:
    def test_without_a_user_the_system_acts(self) -> None:
        assert call("testapp.secret()")[1] == "the secret\n"

    def test_the_permissions_of_the_user_count(self) -> None:
        user = User.objects.create_user("alice")
        assert call("testapp.secret()", "--user", "alice")[0] == 1
        user.user_permissions.add(Permission.objects.get(codename="add_refund"))
        assert call("testapp.secret()", "--user", "alice")[1] == "the secret\n"

    def test_an_unknown_user_is_wrong_usage(self) -> None:
        status, _, err = call("1", "--user", "nobody")
        assert status == 2
        assert "--user 'nobody': there is no such user" in err


class TestProcess:
    def test_the_command_reads_stdin_and_leaves_stderr_empty(self) -> None:
        assert run("-", stdin="print('hi')\nresult = 6 * 7") == (0, "hi\n42\n", "")

    def test_the_exit_status_is_that_of_the_process(self) -> None:
        status, out, err = run("1/0")
        assert (status, out) == (1, "")
        assert (
            err.splitlines()[-1] == "CodeFailedError: ZeroDivisionError: division by zero (line 1)"
        )

    def test_unknown_options_are_wrong_usage(self) -> None:
        status, _, err = run("1", "--no-such")
        assert status == 2
        assert "unrecognized arguments: --no-such" in err

    def test_a_wrong_environment_variable_is_wrong_usage(self) -> None:
        status, _, err = run("1", CODEMODE_LIMITS__MAX_THREADS="none")
        assert status == 2
        assert "max_threads" in err

    def test_help_lists_the_exit_statuses(self) -> None:
        status, out, _ = run("--help")
        assert status == 0
        assert "exit status:\n  0    the code completed" in out

    def test_output_is_printed_while_the_code_runs_and_ctrl_c_ends_it(self) -> None:
        code = "import time\nprint('running', flush=True)\ntime.sleep(60)"
        with start(code) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            children = psutil.Process(process.pid).children(recursive=True)
            assert children
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)

        assert process.returncode == 130
        assert err.splitlines()[-1] == "CommandError: interrupted"
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive


def test_the_command_leaves_the_shared_codemode_of_a_server_open() -> None:
    call("1")
    codemode = shared.codemode
    call("1")
    assert shared.codemode is codemode
    assert codemode.run("1").ok
