"""Promises of the script with which the README's commands start."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "with_env.py"


@pytest.fixture
def with_env(tmp_path: Path) -> ModuleType:
    """Load the script from a clone of its own."""
    (tmp_path / "clone" / ".ci").mkdir(parents=True)
    copy = tmp_path / "clone" / ".ci" / SCRIPT.name
    copy.write_bytes(SCRIPT.read_bytes())
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / "clone" / name).write_text("first")
    spec = importlib.util.spec_from_file_location("with_env", copy)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_environment_of_the_caller_does_not_leak_in(
    with_env: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "UV_FROZEN", "PIP_USER", "PIP_TARGET"}
    for name in hostile:
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror.test/simple")

    environment = with_env.clean_environment()

    assert not hostile & environment.keys()
    assert environment["UV_PROJECT_ENVIRONMENT"] == str(with_env.ROOT / ".venv")
    assert environment["UV_PYTHON_DOWNLOADS"] == "never"
    assert environment["PIP_INDEX_URL"] == "http://mirror.test/simple"


def test_the_running_python_is_found_when_suitable(with_env: ModuleType) -> None:
    assert with_env.minor_of(Path(sys.executable)) == sys.version_info.minor


@pytest.mark.parametrize(
    "script",
    ["echo 'pyenv: python3.13: command not found' >&2; exit 127", "echo 3 9", "echo 4 12", "echo"],
    ids=["broken shim", "too old", "another major", "silent"],
)
def test_an_unsuitable_python_is_skipped(with_env: ModuleType, tmp_path: Path, script: str) -> None:
    assert with_env.minor_of(executable(tmp_path / "python3.13", script)) is None


def test_a_file_that_cannot_be_executed_is_skipped(with_env: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "python3.13").write_text("no program")
    assert with_env.minor_of(tmp_path / "python3.13") is None
    (tmp_path / "python3.13").chmod(0o755)
    assert with_env.minor_of(tmp_path / "python3.13") is None
    assert with_env.minor_of(tmp_path / "missing") is None


def test_the_newest_suitable_python_wins(
    with_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for minor in (12, 14):
        executable(folder / f"python3.{minor}", f"echo 3 {minor}")
    executable(folder / "python3.13", "exit 127")
    monkeypatch.setattr(sys, "executable", str(folder / "python3"))
    environment = {"PATH": str(folder), "HOME": str(tmp_path)}

    assert with_env.find_python(environment) == str(folder / "python3.14")
    assert with_env.find_python(environment, (12, 13, 14)) == str(folder / "python3.12")


def test_without_a_suitable_python_the_error_names_which_to_install(
    with_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    with pytest.raises(
        SystemExit, match=r"CPython 3\.12, 3\.13, 3\.14, 3\.15 .* such as python3\.12"
    ):
        with_env.find_python({"PATH": str(tmp_path), "HOME": str(tmp_path)})


def test_the_environment_is_rebuilt_when_the_lock_changes(with_env: ModuleType) -> None:
    assert not with_env.is_ready()
    with_env.PYTHON.parent.mkdir(parents=True)
    with_env.PYTHON.symlink_to(os.path.realpath(sys.executable))
    with_env.STAMP.write_text(with_env.fingerprint(), "ascii")
    assert with_env.is_ready()

    (with_env.ROOT / "uv.lock").write_text("second")
    assert not with_env.is_ready()
