"""Mutations: mechanisms that the product loses on request, to prove that the tests notice.

The mutations of an area are beside its tests, in a module with one ``MUTATIONS``. Each is
registered with its proof: the test or cell that must notice the loss. A mechanism is removed in one
of two ways. Either a function replaces it in the process that calls the function, or the product
leaves it out by a setting, as the executor does with the layers of a sandbox.

As a pytest plugin (``-p tests.support.mutations``) this module removes the mechanism that the
environment names. ``python -m tests.support.mutations AREA ...`` tries all mutations and prints a
table.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.paths import ROOT

__all__ = [
    "AREAS",
    "Mutation",
    "Mutations",
    "each",
    "main",
    "nothing",
    "noticed",
    "put",
    "report",
    "run_without",
    "take_away_what_the_environment_names",
]

AREAS = {
    "concurrency": "tests/concurrency/test_mutations.py",
    "sandbox": "tests/codemode/sandbox/attacks/test_mutations.py",
    "servers": "tests/servers/test_mutations.py",
}
"""The tests that try the mutations of an area."""

_VARIABLE = "CODEMODE_TEST_MUTATION"
_MAX_SECONDS = 180.0

Function = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation[Proof]:
    """A mechanism that the product loses, and the proof that must notice it."""

    name: str
    proof: Proof

    def __str__(self) -> str:
        return f"{self.name}-{self.proof}"


class Mutations[Proof]:
    """The mutations of an area, in the order of their registration."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._cases: list[Mutation[Proof]] = []
        self._functions: dict[str, Function] = {}

    def __iter__(self) -> Iterator[Mutation[Proof]]:
        return iter(self._cases)

    def add(self, name: str, *proofs: Proof) -> None:
        """Register a mechanism that the product leaves out by a setting."""
        self._cases += [Mutation(name=name, proof=proof) for proof in proofs]

    def noticed_by(self, proof: Proof, *more: Proof) -> Callable[[Function], Function]:
        """Register the decorated function, which removes the mechanism that it is named after."""

        def register(function: Function) -> Function:
            self._functions[function.__name__] = function
            self.add(function.__name__, proof, *more)
            return function

        return register

    def take_away(self, name: str) -> None:
        """Remove a mechanism from this process, permanently."""
        self._functions[name]()

    def take_all_away(self) -> None:
        """Remove every mechanism; raise AssertionError if one was not found in its place."""
        for name in self._functions:
            self.take_away(name)

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment variable that tells another process what to remove."""
        assert name in self._functions, name
        return {_VARIABLE: f"{self._module}:{name}"}


def each(mutations: Iterable[Mutation[Any]]) -> pytest.MarkDecorator:
    """Return the mark that parametrises a test with each ``mutation``."""
    return pytest.mark.parametrize("mutation", list(mutations), ids=str)


def put(owner: Any, name: str, replacement: Any) -> None:
    """Replace an attribute, which must exist."""
    assert hasattr(owner, name), f"{owner} has no {name}"
    setattr(owner, name, replacement)


def nothing(*args: Any) -> None:
    """Stand in for a removed function."""


def take_away_what_the_environment_names() -> None:
    """Remove a mechanism from this process if its environment says so."""
    if named := os.environ.get(_VARIABLE):
        module, _, name = named.partition(":")
        mutations: Mutations[Any] = importlib.import_module(module).MUTATIONS
        mutations.take_away(name)


# The runner of those proofs that are tests.


def run_without(mutations: Mutations[str], mutation: Mutation[str]) -> str:
    """Run the proof, a test, in a process without the mechanism; return its output."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-x", "-m", ""]
    command += ["-p", "no:cacheprovider", "-p", "tests.support.mutations"]
    command += ["--timeout", "60", f"tests/{mutation.proof}"]
    # A killed process leaves its files behind; the temporary folder removes them.
    with tempfile.TemporaryDirectory(prefix="cm-") as folder:
        environment = {
            **mutations.environment(mutation.name),
            "CODEMODE_TEST_PATIENCE": "10",
            "TMPDIR": folder,
        }
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            return _output(process)


def _output(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a process, or for a failure after which it is stuck."""
    deadline = time.monotonic() + _MAX_SECONDS
    seen = False
    while True:
        try:
            return process.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired as error:
            if (seen and noticed(_text(error.output))) or time.monotonic() > deadline:
                # The process group includes its executor.
                os.killpg(process.pid, signal.SIGKILL)
                return process.communicate()[0]
            seen = noticed(_text(error.output))


def _text(output: bytes | str | None) -> str:
    return output.decode() if isinstance(output, bytes) else output or ""


def noticed(output: str) -> bool:
    """Return whether the failure is a test's: the test was found and could begin."""
    return re.search(r"^\.*F", output, re.MULTILINE) is not None


# The plugin of the mutated process.


_status = 0


def pytest_configure() -> None:
    """Remove the mechanism that the environment names."""
    take_away_what_the_environment_names()


def pytest_sessionfinish(exitstatus: int) -> None:
    """Keep the status for the end."""
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Exit at once: stuck threads would delay the end forever."""
    sys.stdout.flush()
    os._exit(_status)


# The report.


class _Report:
    """A pytest plugin that prints a line for each mutation that was tried."""

    def __init__(self) -> None:
        self.tried = self.noticed = 0
        self._rows: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
                mutation = item.callspec.params.get("mutation")
                if isinstance(mutation, Mutation):
                    proof = item.callspec.id.removeprefix(f"{mutation.name}-")
                    self._rows[item.nodeid] = (mutation.name.replace("_", " "), proof)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self._rows.get(report.nodeid)
        if row is None or (report.passed and report.when != "call"):
            return
        self.tried += 1
        self.noticed += report.passed
        outcome = {"passed": "noticed", "skipped": "not tried here"}.get(
            report.outcome, "NOT NOTICED"
        )
        print(f"| {' | '.join((*row, outcome))} |", flush=True)


def report(area: str) -> bool:
    """Try the mutations of an area and print the outcome; return whether all were noticed."""
    plugin = _Report()
    print(f"| without this mechanism of {area} | this must notice | |\n| --- | --- | --- |")
    options = ("-n0", "-m", "", "-p", "no:cacheprovider", "-p", "no:terminal")
    pytest.main([AREAS[area], *options], plugins=[plugin])
    print(f"\n{plugin.noticed} of {plugin.tried} are noticed\n")
    return plugin.noticed == plugin.tried


def main() -> int:
    """Print the requested reports; return 1 when a mutation was not noticed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.mutations",
        description="Take mechanisms away, and show whether the tests notice.",
    )
    parser.add_argument(
        "area", nargs="*", choices=[[], *AREAS], help="all of them by default", default=[]
    )
    held = [report(area) for area in parser.parse_args().area or AREAS]
    return int(not all(held))


if __name__ == "__main__":
    # Imported under the name that the tests use, so that the classes are the same.
    sys.exit(importlib.import_module("tests.support.mutations").main())
