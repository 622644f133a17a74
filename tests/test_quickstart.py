"""The quickstart, followed to the letter: its commands and files, in a project from the wheel."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from tests.support.paths import ROOT
from tests.support.processes import free_port, wait_until

PAGE = ROOT / "docs" / "start" / "quickstart.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SERVERS = ("python manage.py runserver", "codemode-executor ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    line: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    name: str
    content: str


def steps() -> Iterator[Command | File]:
    """Yield the commands and files of the page, in order."""
    page = PAGE.read_text("utf-8")
    aside = re.search(r"^## Without Django$.*?(?=^## )", page, re.DOTALL | re.MULTILINE)
    assert aside is not None
    for kind, content in BLOCK.findall(page.replace(aside[0], "")):
        if kind == "console":
            yield from commands(content)
        else:
            first, _, rest = content.partition("\n")
            yield File(name=first.removeprefix("# "), content=rest)


def shown_tests(name: str) -> str:
    """Return the block of docs/guides/testing.md that has a test of this name."""
    page = (ROOT / "docs" / "guides" / "testing.md").read_text("utf-8")
    (block,) = (text for _, text in BLOCK.findall(page) if name in text)
    return str(block)


# Tools that the examples for pytest use and the quickstart does not have.
MORE_TOOLS = """

@tool(permission="orders.change_order")
def refund(order_id: int, amount: int, reason: str) -> bool:
    \"\"\"Give money back.\"\"\"
    return True


@tool
def get_rate(currency: str) -> float:
    \"\"\"Return what a unit of a currency is worth.\"\"\"
    return 1.5
"""
CONFTEST = """
import pytest


@pytest.fixture
def clerk(django_user_model):
    return django_user_model.objects.create_user("clerk")
"""


def commands(block: str) -> Iterator[Command]:
    """Split a console block; a command continues over lines while one of its quotes is open."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        length = next(n for n in range(1, len(lines) + 1) if "".join(lines[:n]).count("'") % 2 == 0)
        yield Command(line="".join(lines[:length]).strip(), output="".join(lines[length:]))


@dataclass(slots=True)
class Terminal:
    """A reader who follows the page in an empty folder."""

    folder: Path
    environment: dict[str, str]
    ports: dict[Literal["8000", "8001"], str]
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def follow(self, step: Command | File) -> None:
        if isinstance(step, File):
            self.write(step)
        elif step.line.startswith("pip install"):
            pass  # the environment has the wheel
        elif step.line.startswith(SERVERS):
            self.serve(step.line)
        else:
            assert self.run(step.line).rstrip() == step.output.rstrip(), step.line

    def write(self, file: File) -> None:
        """Write a file; append settings and URLs to the files that startproject has made."""
        path = self.folder / file.name
        before = path.read_text() if file.name.startswith("mysite/") else ""
        path.write_text(before + self.with_ports(file.content))

    def run(self, line: str) -> str:
        """Run a command and return what it prints; variables that it exports stay set."""
        exported = self.folder.parent / "exported"
        script = f"{self.with_ports(line)}\nstatus=$?\nenv -0 > {exported}\nexit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 or "Error" in done.stdout, f"{line}: {done.stdout}"
        pairs = (one.partition("=") for one in exported.read_text().split("\0") if one)
        self.environment = {name: value for name, _, value in pairs}
        return done.stdout

    def serve(self, line: str) -> None:
        """Start a server as in a terminal of its own, and wait until it answers."""
        port = self.ports["8000" if "runserver" in line else "8001"]
        if "runserver" in line:
            line += f" 127.0.0.1:{port}"
        log = self.folder.parent / f"{port}.log"
        with log.open("wb") as target:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {self.with_ports(line)}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                start_new_session=True,
            )
        self.servers.append(server)
        assert wait_until(lambda: server.poll() is not None or answers(port), 90), log.read_text()
        assert server.poll() is None, log.read_text()

    def with_ports(self, text: str) -> str:
        """Replace the page's ports with ports that are free here."""
        for shown, port in self.ports.items():
            text = text.replace(f"127.0.0.1:{shown}", f"127.0.0.1:{port}")
        return text

    def leave(self) -> None:
        """Stop the servers with Ctrl-C."""
        for server in self.servers:
            os.killpg(server.pid, signal.SIGINT)
            server.wait(60)


def answers(port: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


def uv(*arguments: str) -> None:
    command = shutil.which("uv", path=f"{ROOT / '.bootstrap/uv/bin'}:{os.environ['PATH']}")
    assert command, "uv is needed: .ci/with_env.py puts it into .bootstrap"
    environment = {"UV_CACHE_DIR": str(ROOT / ".bootstrap" / "cache"), **os.environ}
    environment.update(UV_PYTHON_DOWNLOADS="never", UV_NO_PROGRESS="1")
    done = subprocess.run(
        [command, "--quiet", "--system-certs", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", str(folder))
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.deep
@pytest.mark.timeout(600)
@pytest.mark.parametrize("django", ["5.2", "6.1"])
def test_a_fresh_project_that_follows_the_quickstart_runs_its_tool(
    django: str, wheel: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "venv"
    uv("venv", "--python", sys.executable, str(installed))
    packages = (str(wheel), f"django=={django}.*", "pytest", "pytest-django")
    uv("pip", "install", "--python", str(installed), *packages)
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{installed / 'bin'}:/usr/bin:/bin",
        "PYTHONWARNINGS": "error::RuntimeWarning",
        # The page cannot offer a tier that this host lacks.
        **{k: v for k, v in os.environ.items() if k == "CODEMODE_EXECUTOR_MIN_TIER"},
    }
    # Outside a terminal, curl shows a progress meter.
    (tmp_path / ".curlrc").write_text("silent\nshow-error\n")
    folder = tmp_path / "project"
    folder.mkdir()
    terminal = Terminal(folder, environment, {"8000": str(free_port()), "8001": str(free_port())})
    try:
        assert terminal.run("python -m django --version").startswith(f"{django}.")
        for step in steps():
            terminal.follow(step)
        # The page on testing has tests for this very project.
        terminal.write(File(name="orders/tests.py", content=shown_tests("class ReportTest")))
        told = terminal.run("python manage.py test")
        assert re.search(r"^Ran 2 tests in .*\n\nOK$", told, re.MULTILINE), told
        with (folder / "orders" / "codemode_tools.py").open("a") as tools:
            tools.write(MORE_TOOLS)
        terminal.write(File(name="conftest.py", content=CONFTEST))
        content = shown_tests("def test_total_of_a_month")
        terminal.write(File(name="orders/test_tools.py", content=content))
        told = terminal.run(
            "python -m pytest -p django_codemode.pytest_plugin --ds mysite.settings orders"
        )
        assert re.search(r"^=+ 3 passed in ", told, re.MULTILINE), told
        use_a_cassette(terminal)
    finally:
        terminal.leave()


def use_a_cassette(terminal: Terminal) -> None:
    """Record the test that the page on testing has, replay it, and let it drift as shown there."""
    content = shown_tests("def test_a_recorded_report")
    terminal.write(File(name="orders/test_report.py", content=content))
    pytest_in_project = "python -m pytest -p django_codemode.pytest_plugin --ds mysite.settings"
    for options in ("--codemode-record", ""):
        told = terminal.run(f"{pytest_in_project} {options} orders/test_report.py")
        assert re.search(r"^=+ 1 passed in ", told, re.MULTILINE), told
    content = shown_tests("class RecordedReportTest")
    terminal.write(File(name="orders/tests.py", content=content))
    for mode in ("record", "replay"):
        told = terminal.run(f"CODEMODE_CASSETTES={mode} python manage.py test")
        assert re.search(r"^Ran 1 test in .*\n\nOK$", told, re.MULTILINE), told
    cassettes = terminal.folder / "orders" / "cassettes"
    assert (cassettes / "report.json").exists()
    (cassette,) = (cassettes / "test_report").iterdir()
    page = (ROOT / "docs" / "guides" / "testing.md").read_text("utf-8")
    shown = re.search(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert textwrap.indent(shown[1], 6 * " ") in cassette.read_text()
    views = terminal.folder / "orders" / "views.py"
    views.write_text(views.read_text().replace("list_orders(month)", "list_orders(month[:4])"))
    told = terminal.run(f"{pytest_in_project} orders/test_report.py")
    drift = re.search(r"^```text\n(CassetteError: .*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert drift is not None
    assert drift[1] in re.sub(r"^E +(codemode\.testing\.cassette\.)?", "", told, flags=re.MULTILINE)


def test_the_page_has_four_steps_and_each_shows_its_output() -> None:
    page = PAGE.read_text("utf-8")
    parts = re.split(r"^## (\d)\. ", page, flags=re.MULTILINE)
    assert parts[1::2] == ["1", "2", "3", "4"]
    for part in parts[2::2]:
        blocks = BLOCK.findall(part.partition("\n## ")[0])
        shown = [one for kind, text in blocks if kind == "console" for one in commands(text)]
        assert any(one.output for one in shown)
