"""Promises of the pytest plugin: one cassette for each test, recorded on request only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from codemode.pytest_plugin import cassette_path
from tests.support.paths import ROOT

CONFTEST = """
import pytest
from codemode import Codemode

pytest_plugins = ["codemode.pytest_plugin"]

def get_order(order_id: int) -> dict:
    with open("calls", "a") as file:
        file.write("get_order\\n")
    return {"total": order_id}

@pytest.fixture(scope="session")
def codemode():
    with Codemode() as codemode:
        codemode.registry.register_tool("get_order", get_order)
        yield codemode
"""
TESTS = """
import unittest
import pytest

CODES = ["get_order(1)['total']", "get_order(2)['total']"]

@pytest.mark.parametrize("code", CODES)
def test_total(codemode, codemode_cassette, code):
    assert codemode.run(code).value == int(code[10])

def test_two(codemode, codemode_cassette):
    for code in CODES:
        codemode.run(code)

@pytest.mark.usefixtures("codemode_cassette")
class OldTest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _codemode(self, codemode):
        self.codemode = codemode

    def test_total(self):
        self.assertEqual(self.codemode.run("get_order(3)['total']").value, 3)
"""


# Plugins of our own tests.
PLAIN = [f"-pno:{name}" for name in ("asyncio", "django", "xdist")]


class Project:
    """A folder with tests, and pytest in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tests = folder / "tests" / "test_orders.py"
        self.tests.parent.mkdir()
        self.tests.write_text(TESTS)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")

    def pytest(self, *options: str, within: str = ".") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *PLAIN, *options],
            cwd=self.folder / within,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        return re.sub("^E +", "", done.stdout, flags=re.MULTILINE)

    def calls(self) -> int:
        """Return how many calls ran a tool since the last look."""
        path = self.folder / "calls"
        count = len(path.read_text().splitlines()) if path.exists() else 0
        path.unlink(missing_ok=True)
        return count


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_each_test_has_its_cassette(project: Project) -> None:
    assert " 4 errors in " in project.pytest()
    assert " 4 passed in " in project.pytest("--codemode-record")
    assert project.calls() == 5
    assert " 4 passed in " in project.pytest()
    assert project.calls() == 0
    folder = project.tests.parent / "cassettes" / "test_orders"
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "OldTest.test_total.json"
    assert names[-1] == "test_two.json"
    (folder / names[0]).unlink()
    assert " 4 passed in " in project.pytest("--codemode-record")
    assert project.calls() == 1
    assert " 4 passed in " in project.pytest("--codemode-rerecord")
    assert project.calls() == 5


def test_a_missing_cassette_fails_with_the_command(project: Project) -> None:
    told = project.pytest("tests/test_orders.py::test_two")
    assert (
        "CassetteError: the cassette tests/cassettes/test_orders/test_two.json does not exist\n"
        "To record it: pytest --codemode-record tests/test_orders.py::test_two\n" in told
    )
    told = project.pytest("test_orders.py::test_two", within="tests")
    assert "To record it: pytest --codemode-record test_orders.py::test_two\n" in told
    assert project.calls() == 0


def test_drift_fails_the_test_itself(project: Project) -> None:
    project.pytest("--codemode-record")
    project.tests.write_text(
        TESTS.replace("for code in CODES:", "for code in [CODES[0], 'get_order(7)']:")
    )
    told = project.pytest("tests/test_orders.py::test_two")
    assert (
        "@@ -1 +1 @@\n"
        "-get_order(order_id=2)\n"
        "+get_order(order_id=7)\n"
        "To record it: pytest --codemode-rerecord tests/test_orders.py::test_two\n" in told
    )
    assert " 1 failed in " in told
    project.tests.write_text(TESTS.replace("for code in CODES:", "for code in CODES[:1]:"))
    told = project.pytest("tests/test_orders.py::test_two")
    assert "1 of 2 runs of the cassette" in told
    assert " 1 failed in " in told


def test_paths_are_safe_and_distinct() -> None:
    module = Path("/project/tests/test_orders.py")
    folder = Path("/project/tests/cassettes/test_orders")
    plain = cassette_path(module, "tests/test_orders.py::Test::test_total[usd-1]")
    assert plain == folder / "Test.test_total[usd-1].json"
    odd = [cassette_path(module, f"test_orders.py::test[{one}]") for one in ("a/b", "a\\b", "é")]
    long = [cassette_path(module, f"test_orders.py::test[{'x' * 300}{one}]") for one in "ab"]
    assert len({*odd, *long}) == 5
    assert all(path.parent == folder and len(path.name) < 140 for path in [*odd, *long])
    assert all(path.name.isascii() for path in odd)
