"""Promises of the documentation: links have targets, and examples give the outputs shown.

In docs/, a ``python`` block followed by a ``text`` block is run, and its outcome is compared with
the ``text``. The blocks of a page share their variables. A block that begins with ``# sandbox`` is
code as a model writes it: it is sent to the page's ``codemode``, and ``=>`` or ``!!`` shows its
value or error.

``python -m tests.test_docs docs/reference/values.md`` writes fresh outputs into a page.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class
from django.core.management.base import BaseCommand

import codemode
from codemode import errors
from codemode.config import ClientConfig, ExecutorConfig, Limits, TLSConfig
from codemode.executor.host.isolation import TIERS
from codemode.executor.serving.command import build_parser
from django_codemode import signals, testing
from django_codemode.conf import CodemodeSettings
from tests.support.frameworks import needs_frameworks
from tests.support.model_provider import provider
from tests.support.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = {path.name: path for path in PAGES}
LINES = r"((?:(?!```).*\n)*)"
EXAMPLES = re.compile(rf"^```python\n{LINES}```\n\n?```text\n{LINES}```$", re.MULTILINE)
PAGES_WITH_EXAMPLES = [path for path in PAGES if EXAMPLES.search(path.read_text("utf-8"))]
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
# The pages of agent frameworks, and the packages of which their examples need a provider of models.
FRAMEWORKS = {
    "anthropic.md": "anthropic",
    "crewai.md": "crewai",
    "fastmcp.md": "fastmcp",
    "google-adk.md": "google.adk",
    "langchain.md": "langchain",
    "openai-agents.md": "agents",
    "openai.md": "openai",
    "pydantic-ai.md": "pydantic_ai",
}
WITH_MCP = {"mcp-tools.md"}


@dataclass(frozen=True, kw_only=True)
class Example:
    source: str
    output: str
    line: int


def examples(path: Path) -> list[Example]:
    text = path.read_text("utf-8")
    return [
        Example(source=match[1], output=match[2], line=text.count("\n", 0, match.start()) + 2)
        for match in EXAMPLES.finditer(text)
    ]


def outputs(path: Path) -> list[str]:
    """Run a page's examples in this process, and return the output of each."""
    page = types.ModuleType("example")
    del page.__spec__  # it has no loader, of which Python 3.15 warns in each traceback
    sys.modules["example"] = page
    try:
        return [output(one, page.__dict__, path) for one in examples(path)]
    finally:
        if facade := page.__dict__.get("codemode"):
            facade.close()


def output(example: Example, names: dict[str, Any], path: Path) -> str:
    if example.source.startswith("# sandbox"):
        return in_the_sandbox(names["codemode"].run(example.source))
    said = io.StringIO()
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    # The same line numbers as in the page, so that an error can be found there.
    source = "\n" * (example.line - 1) + example.source
    code = compile(source, str(path), "exec", flags, dont_inherit=True)
    with contextlib.redirect_stdout(said):
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))
        else:
            exec(code, names)
    return said.getvalue()


def in_the_sandbox(result: codemode.ExecutionResult) -> str:
    text = result.stdout + result.stderr
    if result.error is not None:
        line = f" (line {result.error.line})" if result.error.line else ""
        text += f"!! {result.status}: {result.error.type}: {result.error.message}{line}\n"
    elif result.value is not None:
        text += f"=> {result.value!r}\n"
    return text


def fill_in(path: Path) -> None:
    """Replace the outputs in a page with those that its examples give."""
    fresh = dict(zip((one.source for one in examples(path)), outputs(path), strict=True))
    text = EXAMPLES.sub(
        lambda match: f"```python\n{match[1]}```\n\n```text\n{fresh[match[1]]}```",
        path.read_text("utf-8"),
    )
    path.write_text(text, "utf-8")


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page that a link may use, by GitHub's rule."""
    text = FENCED.sub("", path.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings
    }


def shows(page: str, names: Iterable[str]) -> list[str]:
    """Return those of the names that a page does not show as code."""
    text = NAMED[page].read_text("utf-8")
    code = " ".join(FENCED.findall(text) + re.findall(r"`[^`\n]+`", FENCED.sub("", text)))
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?!\w)", code)]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "path",
    [path for path in PAGES_WITH_EXAMPLES if path.name not in FRAMEWORKS],
    ids=lambda path: path.name,
)
def test_examples_give_what_the_page_shows(path: Path) -> None:
    if path.name in WITH_MCP:
        needs_frameworks("mcp")
    compare(path, "-W", "error", seconds=60)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_examples_of_a_framework_give_what_its_page_shows(name: str) -> None:
    needs_frameworks(FRAMEWORKS[name])
    with provider() as variables:
        # Frameworks warn of their own code, and take long to import.
        compare(NAMED[name], seconds=300, variables=variables)


def compare(
    path: Path, *options: str, seconds: float, variables: Mapping[str, str] | None = None
) -> None:
    """Run a page's examples in a process of their own, and compare their outputs.

    An example may register a converter, or use up a warning.
    """
    ended = subprocess.run(
        [sys.executable, *options, "-m", "tests.test_docs", "--show", str(path)],
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert ended.returncode == 0, ended.stderr
    for example, got in zip(examples(path), json.loads(ended.stdout), strict=True):
        assert got == example.output, f"{path.name}:{example.line}"


def test_pages_with_examples_are_found() -> None:
    assert {path.name for path in PAGES_WITH_EXAMPLES} >= {
        *FRAMEWORKS,
        "errors.md",
        "quickstart.md",
        "sdk.md",
        "tools.md",
        "values.md",
    }


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_have_targets(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", path.read_text("utf-8"))):
        file, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_proofs_are_tests_that_exist(path: Path) -> None:
    proofs = re.findall(r"\[`(test_\w+)`\]\(([^)\s]+\.py)\)", path.read_text("utf-8"))
    missing = [
        name
        for name, file in proofs
        if not re.search(
            rf"^ *(async )?def {name}\(", (path.parent / file).read_text("utf-8"), re.MULTILINE
        )
    ]
    assert missing == []


def test_the_guarantees_have_proofs() -> None:
    page = FENCED.sub("", NAMED["guarantees.md"].read_text("utf-8"))
    rows = re.findall(r"^\| (?!promise ).*$", page, re.MULTILINE)
    assert len(rows) > 50
    assert [row for row in rows if not re.search(r"\]\([^)]+\.(py|md)(#[\w-]+)?\) \|$", row)] == []


def test_the_index_leads_to_every_page() -> None:
    index = NAMED["index.md"].read_text("utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]]
    assert [page for page in pages if f"({page})" not in index] == ["index.md"]


def test_page_names_are_unique() -> None:
    assert len(NAMED) == len(PAGES)


def test_every_setting_of_the_client_is_documented() -> None:
    assert shows("sdk.md", [*ClientConfig.model_fields, *TLSConfig.model_fields]) == []


def test_every_setting_of_the_executor_is_documented() -> None:
    # parent_pid_fd is private to an embedded executor and its parent, and is not a setting.
    fields = ExecutorConfig.model_fields.keys() - {"parent_pid_fd"}
    assert shows("executor.md", fields) == []


def test_every_limit_is_documented() -> None:
    assert shows("executor.md", Limits.model_fields) == []


def test_every_option_of_the_executor_is_documented() -> None:
    shown = [one for one in build_parser()._actions if one.help != "==SUPPRESS=="]
    options = [option for one in shown for option in one.option_strings if option != "-h"]
    assert shows("executor.md", options) == []


@pytest.mark.parametrize("command", ["codemode_exec", "codemode_mcp", "codemode_tools"])
def test_every_option_of_a_command_is_documented(command: str) -> None:
    parser = load_command_class("django_codemode", command).create_parser("manage.py", command)
    ours = {option for one in parser._actions for option in one.option_strings}
    of_all = BaseCommand().create_parser("manage.py", command)
    options = ours - {option for one in of_all._actions for option in one.option_strings}
    page = NAMED["commands.md"].read_text("utf-8")
    section = page.partition(f"## {command}\n")[2].partition("\n## ")[0]
    assert options
    assert [one for one in sorted(options) if f"`{one}" not in section] == []


def test_every_tier_is_documented() -> None:
    assert shows("executor.md", TIERS) == []


def test_every_exception_is_documented() -> None:
    assert shows("errors.md", errors.__all__) == []


def test_every_setting_of_the_app_is_documented() -> None:
    fields = [name.upper() for name in CodemodeSettings.model_fields]
    assert shows("settings.md", fields) == []
    rows = re.findall(r"^\| `([A-Z_]+)` \|", NAMED["settings.md"].read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(fields)


def test_every_helper_for_tests_is_documented() -> None:
    methods = [name for name in vars(testing.CodemodeTester) if re.match("[a-z]", name)]
    told = [name for name in methods if not name.startswith("execution_")]
    names = {*testing.__all__, *told} - {"Replacement"}
    assert shows("testing.md", sorted(names)) == []


def test_every_signal_is_documented() -> None:
    assert shows("signals.md", signals.__all__) == []


def test_every_public_name_is_documented() -> None:
    pages = ("sdk.md", "tools.md", "errors.md", "executor.md")
    missing = set(codemode.__all__)
    for page in pages:
        missing &= set(shows(page, codemode.__all__))
    assert missing == set()


if __name__ == "__main__":
    if sys.argv[1] == "--show":
        print(json.dumps(outputs(Path(sys.argv[2]))))
    else:
        for name in sys.argv[1:]:
            fill_in(Path(name))
