"""Promises of the tree as a whole."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest

from codemode.protos import codemode_pb2_grpc
from tests.support.frameworks import needs_frameworks
from tests.support.paths import ROOT

GENERATED = ("codemode_pb2.py", "codemode_pb2.pyi", "codemode_pb2_grpc.py")


def modules(package: str) -> list[Path]:
    return [path for path in sorted((ROOT / package).rglob("*.py")) if path.name not in GENERATED]


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def offenders(package: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {', '.join(sorted(found))}"
        for path in modules(package)
        if (found := imports(path) & forbidden)
    ]


def test_the_sdk_imports_neither_django_nor_the_app() -> None:
    assert (
        offenders("codemode", {"django", "django_codemode", "assistant", "config", "shop", "tests"})
        == []
    )


def test_the_app_imports_no_project() -> None:
    assert offenders("django_codemode", {"assistant", "config", "shop", "tests"}) == []


def test_the_sandbox_imports_no_more_than_it_needs() -> None:
    """Every child pays in memory and attack surface for what the guest imports."""
    heavy = {"asgiref", "google", "grpc", "httpx", "pydantic", "pydantic_settings"}
    assert offenders("codemode/sandbox", heavy) == []
    assert offenders("codemode/values", heavy) == []


def test_the_generated_modules_match_the_contract(tmp_path: Path) -> None:
    if sys.version_info >= (3, 15):
        pytest.importorskip("grpc_tools", reason="this old generator has no wheel for this Python")
    runpy.run_path(str(ROOT / "protos" / "generate.py"))["generate"](tmp_path)

    for name in GENERATED:
        fresh = (tmp_path / "codemode" / "protos" / name).read_text("utf-8")
        committed = (ROOT / "codemode" / "protos" / name).read_text("utf-8")
        assert committed == fresh, f"{name} is stale: run python protos/generate.py"


def test_the_generated_modules_run_on_the_lowest_versions_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    messages = (ROOT / "codemode" / "protos" / "codemode_pb2.py").read_text("utf-8")
    (protobuf,) = re.findall(r"^# Protobuf Python Version: (.+)$", messages, re.MULTILINE)
    grpc = codemode_pb2_grpc.GRPC_GENERATED_VERSION.removesuffix(".0")

    assert {f"grpcio>={grpc}", f"protobuf>={protobuf}"} <= set(project["dependencies"])


EXPORTING = [
    path
    for path in modules("codemode") + modules("django_codemode")
    if "\n__all__ = " in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", EXPORTING, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_all_is_sorted_and_its_names_exist(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = "mcp" if "_mcp" in parts else path.stem
    if "integrations" in parts and not name.startswith("_"):
        packages = {
            "google_adk": "google.adk",
            "langchain": "langgraph",
            "openai_agents": "agents",
        }
        needs_frameworks(packages.get(name, name))
    if parts[:2] == ("django_codemode", "mcp"):
        needs_frameworks("mcp")
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    names = module.__all__
    assert list(names) == sorted(set(names), key=isort_key)
    assert [name for name in names if not hasattr(module, name)] == []


def isort_key(name: str) -> tuple[int, str]:
    """Return a sort key with ruff's order: constants, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


@pytest.mark.parametrize("name", ["codemode", "django_codemode"])
def test_public_names_of_a_package_are_its_all(name: str) -> None:
    package = importlib.import_module(name)
    for export in package.__all__:
        getattr(package, export)

    public = {
        key
        for key, value in vars(package).items()
        if not key.startswith("_") and not hasattr(value, "__path__") and key != "annotations"
    }
    submodules = {path.stem for path in (ROOT / name).glob("*.py")}
    helpers = {"Any", "TYPE_CHECKING", "import_module", "lazy_names"}
    assert public - submodules - helpers == set(package.__all__)


def test_every_package_is_typed() -> None:
    assert (ROOT / "codemode" / "py.typed").is_file()
    assert (ROOT / "django_codemode" / "py.typed").is_file()


def test_the_readme_opens_with_two_commands_of_one_line() -> None:
    commands = runpy.run_path(str(ROOT / ".ci" / "readme_commands.py"))["readme_commands"]()
    assert len(commands) == 2


def test_the_links_of_the_readme_have_targets() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_changelog_opens_with_the_version() -> None:
    import codemode

    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert versions[0] == codemode.__version__
    assert f'version = "{codemode.__version__}"' in pyproject
