"""Promises of the checks before a change lands: what makes them red, and what is tried again."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "stages.py"
CONFTEST = """
def pytest_configure(config):
    config.addinivalue_line("markers", "no_retry: judged by its first run")
"""
FLAKY = """
import os, pathlib, pytest
def first_time(name):
    marker = pathlib.Path(__file__).with_name(name)
    return not marker.exists() and marker.touch() is None
"""


@pytest.fixture(scope="module")
def stages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("codemode_stages", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def check(stages: ModuleType, tmp_path: Path) -> Any:
    """Return a function that runs tests as a stage, retries them and returns the exit status."""

    def check(source: str, *options: str, files: Mapping[str, str] = {}) -> int:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_it.py").write_text(FLAKY + source)
        plugins = ("-p", "no:cacheprovider", "-p", "xdist.plugin", "-p", "pytest_reportlog.plugin")
        stage = stages.Stage(
            name="it",
            command=(sys.executable, "-m", "pytest", "-q", *plugins),
            tests=options,
            environment={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            folder=folder,
        )
        running = stages.Check(tmp_path / "reports")
        running.run(stage)
        running.try_again()
        status: int = running.finish()
        return status

    return check


def test_a_test_that_passes_the_second_time_is_green_and_listed(
    check: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "def test_a(): assert not first_time('a')\ndef test_b(): pass"
    assert check(source) == 0
    said = capfd.readouterr().out
    assert "FLAKY, passed the second time:  test_it.py::test_a" in said
    assert "GREEN; FLAKY tests, to be repaired: 1" in said


def test_a_test_that_fails_again_is_red_and_named(
    check: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert check("def test_a(): assert 1 == 2\ndef test_b(): pass") == 1
    said = capfd.readouterr().out
    assert "RED, failed again:  test_it.py::test_a" in said
    assert "assert 1 == 2" in said.partition("=== Result")[2]


@pytest.mark.parametrize(
    "failing",
    ["assert not first_time('a')", "os._exit(9) if first_time('a') else None"],
    ids=["fails", "ends its worker"],
)
def test_a_marked_test_is_red_at_its_first_failure(
    check: Any, failing: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = f"@pytest.mark.no_retry\ndef test_a(): {failing}\ndef test_b(): pass"
    assert check(source, "-n1") == 1
    assert "FLAKY" not in capfd.readouterr().out


def test_a_test_that_fails_at_teardown_is_tried_again(check: Any) -> None:
    source = """
@pytest.fixture
def used():
    yield
    assert not first_time('a')
def test_a(used): pass
def test_b(): pass
"""
    assert check(source) == 0


def test_a_test_that_is_skipped_the_second_time_has_not_passed(check: Any) -> None:
    source = """
def test_a():
    if first_time('a'):
        assert False
    pytest.skip()
def test_b(): pass
"""
    assert check(source) == 1


def test_many_failed_tests_are_not_tried_again(
    check: Any, stages: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    count = stages.MAX_RETRIES + 1
    source = f"""
@pytest.mark.parametrize("n", range({count}))
def test_a(n): assert not first_time(str(n))
def test_b(): pass
"""
    assert check(source) == 1
    assert "Second try" not in capfd.readouterr().out


@pytest.mark.parametrize(
    "source",
    ["import nothing_of_that_name", "def test_a(): pytest.skip()", "raise SystemExit(0)"],
    ids=["not importable", "all skipped", "ends while it is collected"],
)
def test_a_stage_without_a_passed_test_is_red(check: Any, source: str) -> None:
    assert check(source) == 1


def test_a_command_that_fails_is_red_and_the_next_one_still_runs(
    stages: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check = stages.Check(tmp_path / "reports")
    for name, status in (("first", 3), ("second", 0)):
        command = (sys.executable, "-c", f"raise SystemExit({status})")
        check.run(stages.Stage(name=name, command=command))
    check.try_again()
    assert check.finish() == 1
    said = capfd.readouterr().out
    assert "first: exit status 3" in said
    assert "RED: first\n" in said


def test_a_stage_that_cannot_run_here_is_listed_and_not_red(
    stages: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check = stages.Check(tmp_path / "reports")
    check.run(stages.Stage(name="Python 3.99", command=(), left_out="it is not there"))
    check.try_again()
    assert check.finish() == 0
    said = capfd.readouterr().out
    assert "LEFT OUT  Python 3.99: it is not there" in said
    assert said.endswith("GREEN; left out on this machine: 1\n")
