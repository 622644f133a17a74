"""All of the language that a model writes works under the full lock-down."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from codemode import ClientConfig, Codemode
from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT
from codemode.interpreter import find_python
from tests.codemode.sandbox.corpus import concurrency, data, files, language, library
from tests.codemode.sandbox.corpus.program import Program
from tests.support.hosts import needs_tier
from tests.support.processes import ExecutorProcess
from tests.support.value_strategies import identity

PROGRAMS = (
    *language.PROGRAMS,
    *concurrency.PROGRAMS,
    *library.PROGRAMS,
    *files.PROGRAMS,
)

# Open a window or a browser, print a poem, or are no modules to import.
NOT_IMPORTED = {"antigravity", "this", "idlelib", "test", "turtledemo", "turtle", "lib2to3"}

IMPORTS = """
import importlib, json, warnings
warnings.simplefilter('ignore')
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = type(error).__name__
    except Exception as error:
        failed[name] = repr(error)
"""


@pytest.fixture(scope="module")
def tier_a() -> Iterator[Codemode]:
    needs_tier("A")
    with (
        ExecutorProcess("--tier", "A") as process,
        Codemode.from_client_config(ClientConfig(executor_url=process.url)) as codemode,
    ):
        yield codemode


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_program_gives_its_value(tier_a: Codemode, program: Program) -> None:
    outcome = tier_a.run(program.code, execution_timeout=100)
    assert outcome.status == "completed", outcome.error
    assert outcome.isolation == "A"
    assert identity(outcome.value) == identity(program.value)


@pytest.mark.parametrize("program", data.PROGRAMS, ids=lambda program: program.name)
def test_program_with_numpy_and_pandas_gives_its_value(tier_a: Codemode, program: Program) -> None:
    outcome = tier_a.run(program.code, execution_timeout=100, profile="data")
    assert outcome.status == "completed", outcome.error
    assert outcome.isolation == "A"
    assert identity(outcome.value) == identity(program.value)


def test_corpus_is_large_enough() -> None:
    names = [program.name for program in PROGRAMS]
    assert len(set(names)) == len(names) >= 100


def test_every_module_of_the_library_can_be_imported(tier_a: Codemode) -> None:
    names = sorted(
        name
        for name in sys.stdlib_module_names - NOT_IMPORTED
        if name == "__future__" or not name.startswith("_")
    )
    outside = subprocess.check_output(
        [
            *(find_python(), "-I", "-S", "-B", "-c"),
            f"names = {names!r}\n{IMPORTS}print(json.dumps(failed))",
        ],
        env=CLEAN_ENVIRONMENT,
        timeout=100,
    )
    inside = tier_a.run(f"{IMPORTS}failed", inputs={"names": names}, execution_timeout=100)
    assert inside.status == "completed", inside.error
    # What this system's Python lacks or does not build is missing there as well.
    assert inside.value == json.loads(outside)
