"""Promises to type checkers: the public names mean the same to mypy and to pyright."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from codemode import config

PROGRAM = Path(__file__).with_name("uses_every_name.py")
MODULES = (
    "codemode",
    "codemode.core.events",
    "codemode.core.result",
    "codemode.tools",
    "django_codemode",
    "django_codemode.signals",
    "django_codemode.testing",
    "django_codemode.views",
)


def check(*command: str, folder: Path) -> None:
    """Run a type checker outside the clone, with its own defaults instead of the project's
    settings.
    """
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("module", MODULES)
def test_program_uses_every_public_name(module: str) -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(PROGRAM.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(importlib.import_module(module).__all__) <= imported


def test_mypy_accepts_the_program_without_plugins(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")

    check("mypy", str(PROGRAM), folder=tmp_path)


def test_pyright_accepts_the_program(tmp_path: Path) -> None:
    settings = {
        "include": [str(PROGRAM)],
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))

    check("basedpyright", "--pythonpath", sys.executable, folder=tmp_path)


@pytest.mark.parametrize("name", ["ClientConfig", "ExecutorConfig", "TLSConfig"])
def test_constructor_that_checkers_see_takes_every_setting(name: str) -> None:
    (written,) = (
        node
        for node in ast.parse(Path(config.__file__).read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    (constructor,) = (
        node
        for node in ast.walk(written)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    parameters = [argument.arg for argument in constructor.args.kwonlyargs]
    assert parameters == list(getattr(config, name).model_fields)
