"""``codemode_exec --session`` from a pipe, and at a real pseudo-terminal."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from django.test import override_settings

from codemode.wire.frames import Frame
from django_codemode.management.console import cells, is_whole
from tests.django_codemode.management.terminal import CTRL_C, CTRL_D, UP, Terminal
from tests.support.commands import FOR_ALL, call, run
from tests.support.processes import ExecutorProcess


@pytest.fixture(autouse=True)
def one_executor_for_all(open_executor: ExecutorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FOR_ALL, "CODEMODE_EXECUTOR_URL", open_executor.url)


class TestPipe:
    def test_cells_share_variables_and_each_shows_its_result(self) -> None:
        stdin = "x = 20\n# %% next\nprint(x)\nx + 1\n# %%\nasync def f(): return x\n\nawait f()"
        assert run("codemode_exec", "--session", stdin=stdin) == (0, "20\n21\n20\n", "")

    def test_the_code_of_the_command_line_comes_first_with_the_inputs(self) -> None:
        arguments = ["--session", "y = x * 2", "--input", "x=3"]
        ended = run("codemode_exec", *arguments, stdin="y\n# %%\nx = 5\n# %%\nx")
        assert ended == (0, "6\n5\n", "")

    @pytest.mark.parametrize(
        ("code", "status"), [("1/0", 1), ("import os; os._exit(3)", 4), ("def", 1)]
    )
    def test_the_first_cell_that_fails_ends_the_session_with_its_status(
        self, code: str, status: int
    ) -> None:
        stdin = f"1\n# %%\n{code}\n# %%\nprint('never')"
        ended, out, err = run("codemode_exec", "--session", stdin=stdin)
        assert (ended, out) == (status, "1\n")
        assert err

    def test_a_cell_runs_before_the_next_one_arrives(self) -> None:
        seen = iter(["a\n", "# %%\n", "b\n", "# %%\n", "# %%\n"])
        given = cells(None, seen)
        assert next(given) == "a\n"
        assert next(seen) == "b\n"

    def test_no_executor_is_3(self) -> None:
        with override_settings(
            CODEMODE={"EXECUTOR_URL": "http://127.0.0.1:1", "CONNECT_TIMEOUT": 0}
        ):
            status, _, err = call("codemode_exec", "--session", "1")
        assert status == 3
        assert "cannot be reached" in err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["--session", "--json"], "leave out --json"), (["--session", "-"], "leave out the -")],
    )
    def test_wrong_usage_is_2(self, arguments: list[str], message: str) -> None:
        status, _, err = call("codemode_exec", *arguments)
        assert status == 2
        assert message in err


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("x = 1", True),
        ("await f()", True),
        ("def f():", False),
        ("def f():\n    return 1", False),
        ("def f():\n    return 1\n", True),
        ("if True:\n    await f()", False),
        ("async for x in y:", False),
        ("(1,", False),
        ("'''text", False),
        ("1 +* 2", True),
        ("'\\d'", True),
        ("\0", True),
        ("(" * 10_000, True),
    ],
)
def test_a_block_is_complete_when_python_would_accept_it(block: str, expected: bool) -> None:
    assert is_whole(block) is expected


class TestTerminal:
    def test_values_persist_and_are_shown_as_python_shows_them(self, tmp_path: Path) -> None:
        with Terminal("codemode_exec", "--session", HOME=str(tmp_path)) as terminal:
            terminal.expect(r"Python in a sandbox, with \d+ tools: help\(\) lists them\.")
            terminal.enter("x = 'text'")
            terminal.enter("for letter in x[:2]:")
            terminal.enter("    print(letter)")
            terminal.enter("")
            terminal.expect("t\r\ne\r\n")
            terminal.enter("x")
            terminal.expect("'text'\r\n")
            terminal.enter("await get_rate('EUR')")
            terminal.expect(r"Decimal\('1'\)\r\n")
            terminal.enter("1/0")
            terminal.expect("ZeroDivisionError: division by zero\r\n")
            terminal.enter("[1 << 16_000]")  # more digits than Python prints
            terminal.expect(r'\["0x10+"\]\r\n')
            terminal.enter("x[0]")
            terminal.expect("'t'\r\n")
            terminal.expect(">>> $")
            terminal.type(CTRL_D)
            assert terminal.end() == 0

    def test_lines_are_kept_for_the_next_session_and_names_are_completed(
        self, tmp_path: Path
    ) -> None:
        with Terminal("codemode_exec", "--session", HOME=str(tmp_path)) as terminal:
            terminal.enter("40 + 2")
            terminal.expect("42\r\n")
            terminal.enter("exit()")
            assert terminal.end() == 0
        history = tmp_path / ".codemode_history"
        assert "40 + 2" in history.read_text().replace("\\040", " ")
        assert stat.S_IMODE(history.stat().st_mode) == 0o600

        with Terminal("codemode_exec", "--session", HOME=str(tmp_path)) as terminal:
            terminal.expect(">>> $")
            terminal.type(f"{UP}{UP}\n")
            terminal.expect("\n42\r\n")
            terminal.expect(">>> $")
            terminal.type("testapp.sec\t()\n")
            terminal.expect("'the secret'\r\n")
            terminal.expect(">>> $")
            terminal.type(CTRL_D)
            assert terminal.end() == 0

    def test_ctrl_c_drops_the_line_and_stops_a_run(self, tmp_path: Path) -> None:
        with Terminal("codemode_exec", "--session", HOME=str(tmp_path)) as terminal:
            terminal.enter("x = 1")
            terminal.expect(">>> $")
            terminal.type("half a li")
            terminal.expect("half a li")
            terminal.interrupt("KeyboardInterrupt")
            terminal.enter("x")
            terminal.expect("1\r\n")
            terminal.enter("import time; print('sleeping', flush=True); time.sleep(600)")
            terminal.expect(r"\nsleeping\r\n")
            terminal.type(CTRL_C)
            terminal.expect("interrupted: the session has ended; the next one has none of its")
            terminal.enter("x")
            terminal.expect("NameError: name 'x' is not defined")
            terminal.enter("2 + 2")
            terminal.expect("4\r\n")
            terminal.enter("quit")
            assert terminal.end() == 0

    def test_the_cause_of_a_runs_end_is_shown_and_a_new_session_begins(
        self, tmp_path: Path
    ) -> None:
        arguments = ["--session", "--timeout", "5", "--input", "n=7", "x = 1"]
        with Terminal("codemode_exec", *arguments, HOME=str(tmp_path)) as terminal:
            terminal.enter("while True: pass")
            terminal.enter("")
            terminal.expect("Timeout: the code ran longer than execution_timeout=5 s")
            terminal.expect("timeout: the session has ended")
            terminal.enter("n * 3")
            terminal.expect("\n21\r\n")
            terminal.enter("x")
            terminal.expect("NameError")
            terminal.enter("exit")
            assert terminal.end() == 0

    def test_a_missing_executor_is_reported_and_the_prompt_stays(self, tmp_path: Path) -> None:
        with Terminal(
            "codemode_exec",
            "--session",
            CODEMODE_EXECUTOR_URL="http://127.0.0.1:1",
            CODEMODE_CONNECT_TIMEOUT="0",
            HOME=str(tmp_path),
        ) as terminal:
            for _again in range(2):
                terminal.enter("6 * 7")
                terminal.expect("http://127.0.0.1:1 cannot be reached")
            terminal.enter("exit")
            assert terminal.end() == 0

    def test_a_history_that_cannot_be_kept_is_reported(self) -> None:
        with Terminal("codemode_exec", "--session", HOME="/proc/nowhere") as terminal:
            terminal.enter("exit")
            terminal.expect("the history cannot be kept in /proc/nowhere/.codemode_history: ")
            assert terminal.end() == 0


class TestProgress:
    CODE = (
        "import time\nprint('begin')\nprogress(1, 4, 'half \\x1b]0;name\\x07 way')\n"
        "time.sleep(0.3)\nprint('middle')\nprogress(4, 4)"
    )

    def test_progress_is_a_bar_in_the_terminals_last_line(self) -> None:
        with Terminal("codemode_exec", self.CODE, columns=60) as terminal:
            assert terminal.end() == 0
            screen = terminal.screen
        assert "begin\r\n\r[#####...............]  25% 1/4 half \\x1b]0;name\\x07 way" in screen
        # The bar is cleared before the code prints, and drawn again below.
        assert re.search(r"way\r\x1b\[Kmiddle\r\n\r\[#####", screen)
        assert "[####################] 100% 4/4" in screen
        assert screen.endswith("\r\x1b[K")

    def test_progress_without_a_total_is_a_count_and_long_notes_are_cut(self) -> None:
        with Terminal("codemode_exec", "progress(7, None, 'n' * 200)", columns=30) as terminal:
            assert terminal.end() == 0
            assert f"\r7 {'n' * 27}\r\x1b[K" in terminal.screen

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ("nan, 4", "[....................]   0% nan/4"),
            ("inf, 4", "[####################] 100% inf/4"),
            ("inf, inf", "[....................]   0% inf/inf"),
            ("-inf, 4", "[....................]   0% -inf/4"),
            ("inf, -inf", "inf"),
        ],
    )
    def test_progress_that_is_not_finite_is_shown_as_it_is(
        self, arguments: str, expected: str
    ) -> None:
        # progress() itself refuses these numbers, but code may write to the executor directly.
        body = f"struct.pack('!dd', {arguments}) + struct.pack('!I', 0)"
        frame = f"struct.pack('!IBII', 9 + 20, {int(Frame.PROGRESS)}, 1, 0) + {body}"
        code = f"import os, struct\nfrom math import inf, nan\nos.write(3, {frame})\n'end'"
        with Terminal("codemode_exec", code) as terminal:
            assert terminal.end() == 0
            assert f"\r{expected}\r\x1b[K" in terminal.screen
            assert terminal.screen.endswith("end\r\n")

    def test_progress_does_not_overwrite_a_line_without_its_end(self) -> None:
        code = "print('loading', end='')\nprogress(1, 2)\nprint('done')"
        with Terminal("codemode_exec", code) as terminal:
            assert terminal.end() == 0
            assert "loading\r\n\r[##########" in terminal.screen

    @pytest.mark.parametrize("code", [CODE])
    def test_a_pipe_gets_no_progress(self, code: str) -> None:
        assert run("codemode_exec", code) == (0, "begin\nmiddle\n", "")

    def test_a_dumb_terminal_gets_no_progress(self) -> None:
        with Terminal("codemode_exec", self.CODE, TERM="dumb") as terminal:
            assert terminal.end() == 0
            assert terminal.screen == "begin\r\nmiddle\r\n"


class TestHostileOutput:
    CODE = "print('\\x1b]52;c;aGk=\\x07\\x9bZ\\ttab')\n'\\x1b[2J'"

    def test_a_terminal_shows_control_characters_instead_of_obeying_them(self) -> None:
        with Terminal("codemode_exec", self.CODE) as terminal:
            assert terminal.end() == 0
            assert terminal.screen == "\\x1b]52;c;aGk=\\x07\\x9bZ\ttab\r\n\\x1b[2J\r\n"

    def test_json_escapes_control_characters_on_a_terminal(self) -> None:
        with Terminal("codemode_exec", "--json", "'\\x9b2J'") as terminal:
            assert terminal.end() == 0
            assert "\x9b" not in terminal.screen
            assert '"value": "\\x9b2J"' in terminal.screen

    def test_errors_escape_control_characters_on_a_terminal(self) -> None:
        with Terminal("codemode_exec", "raise ValueError('\\x1b[2J')") as terminal:
            assert terminal.end() == 1
            assert "\x1b[2J" not in terminal.screen

    def test_a_pipe_gets_the_output_of_the_code_unchanged(self) -> None:
        assert run("codemode_exec", self.CODE)[1] == "\x1b]52;c;aGk=\x07\x9bZ\ttab\n\x1b[2J\n"


class TestToolCalls:
    def test_verbose_reports_each_call_on_stderr(self) -> None:
        code = "get_rate(currency='XXX')\nawait get_rate('EUR')"
        status, out, err = run("codemode_exec", "-v", "2", "await " + code)
        told = [line for line in err.splitlines() if line.startswith(("->", "<-"))]
        assert (status, len(told)) == (1, 2)
        assert told[0] == "-> get_rate(currency='XXX')"
        assert re.fullmatch(r"<- get_rate failed in [\d.]+ ms: .*No rate for 'XXX'.*", told[1])
        assert out == ""

    def test_calls_are_not_reported_without_verbose(self) -> None:
        assert call("codemode_exec", "await get_rate('EUR')") == (0, '"1"\n', "")
