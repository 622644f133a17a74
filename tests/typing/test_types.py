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
from tests.support.frameworks import needs_frameworks

MODULES = (
    "codemode",
    "codemode.core.events",
    "codemode.core.result",
    "codemode.testing",
    "codemode.tools",
    "django_codemode",
    "django_codemode.signals",
    "django_codemode.testing",
    "django_codemode.views",
)
# Names of modules that need the package mcp.
MODULES_OF_MCP = ("codemode.integrations.mcp", "django_codemode.mcp.application")


@pytest.fixture(params=["uses_every_name.py", "uses_mcp.py"])
def program(request: pytest.FixtureRequest) -> Path:
    if request.param == "uses_mcp.py":
        needs_frameworks("mcp")
    return Path(__file__).with_name(request.param)


def check(*command: str, folder: Path) -> None:
    """Run a type checker outside the clone, with its own defaults instead of the project's
    settings.
    """
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_program_uses_every_public_name(program: Path) -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(program.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for module in MODULES_OF_MCP if program.name == "uses_mcp.py" else MODULES:
        assert set(importlib.import_module(module).__all__) <= imported, module


def test_mypy_accepts_the_program_without_plugins(tmp_path: Path, program: Path) -> None:
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")

    check("mypy", str(program), folder=tmp_path)


def test_pyright_accepts_the_program(tmp_path: Path, program: Path) -> None:
    settings = {
        "include": [str(program)],
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
