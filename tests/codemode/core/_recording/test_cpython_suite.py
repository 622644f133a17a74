"""CPython's own tests, run in recorded runs: as in plain ones, and again in each replay.

They come with Python, in its package ``test``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from codemode import Codemode, ExecutionResult, Recording

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1_200)]

OF_ASYNCIO = """
    context eager_task_factory futures futures2 locks pep492 protocols queues runners
    selector_events staggered taskgroups tasks threads timeouts transports waitfor
"""
"""Those that need no network and no processes, which a sandbox does not have."""

MODULES = [
    *(f"test.test_asyncio.test_{name}" for name in OF_ASYNCIO.split()),
    *(
        f"test.test_{name}"
        for name in (
            "contextlib contextlib_async datetime functools queue random uuid weakref".split()
        )
    ),
]

FORKING = ["testIssue8621", "test_after_fork"]
"""Those that fork, which a sandbox refuses in all tiers but ``unsafe``."""

SHARING = {
    # It looks, as fast as it can, at a flag that a thread sets.
    "test.test_asyncio.test_selector_events.BaseSelectorEventLoopTests": [
        "test_sock_connect_resolve_using_socket_params"
    ],
    # They import `queue` anew, so that its timeouts look at the clock of the run: how often is
    # chance.
    "test.test_queue.PyQueueTest": ["test_basic"],
    "test.test_queue.PyFailingQueueTest": ["test_failing_queue"],
    # Threads that sleep within one cache. In a replay nobody sleeps.
    "test.test_functools.TestLRUPy": ["test_lru_cache_threaded3"],
    # Threads that collect garbage until a flag is set.
    "test.test_weakref.MappingTestCase": [
        "test_threaded_weak_valued_consistency",
        "test_threaded_weak_valued_pop",
        "test_threaded_weak_valued_setdefault",
    ],
}
"""Tests whose threads share something: a replay of them may diverge."""

CODE = """
import io, unittest

outcomes, details = {}, {}

class Result(unittest.TextTestResult):
    def note(self, test, word, error=None):
        outcomes[test.id()] = word
        if error is not None:
            details[test.id()] = self._exc_info_to_string(error, test)[-1_000:]
    def addSuccess(self, test):
        self.note(test, "passed")
    def addError(self, test, error):
        self.note(test, "raised", error)
    def addFailure(self, test, error):
        self.note(test, "failed", error)
    def addSkip(self, test, reason):
        self.note(test, "skipped")
    def addExpectedFailure(self, test, error):
        self.note(test, "failed as expected")
    def addUnexpectedSuccess(self, test):
        self.note(test, "passed unexpectedly")
    def addSubTest(self, test, part, error):
        if error is not None:
            self.note(part, "failed", error)

def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        elif test.id().rpartition(".")[2] not in without:
            yield test

tests = unittest.TestSuite(tests_of(unittest.defaultTestLoader.loadTestsFromNames(names)))
unittest.TextTestRunner(stream=io.StringIO(), resultclass=Result).run(tests)
result = outcomes, details
"""


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skip a test where Python comes without its tests, or fail it where they are required."""
    if importlib.util.find_spec("test.test_asyncio") is not None:
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    missing = (
        f"{sys.executable} comes without its own tests (the package test.test_asyncio); on Debian "
        f"they are in libpython{version}-testsuite"
    )
    if os.environ.get("CODEMODE_TEST_CPYTHON_REQUIRED"):
        pytest.fail(missing)
    pytest.skip(missing)


def _run(
    codemode: Codemode,
    names: Sequence[str],
    recording: Recording | None = None,
    without: Sequence[str] = (),
) -> ExecutionResult:
    inputs = {"names": list(names), "without": list(without)}
    return codemode.run(CODE, inputs=inputs, recording=recording, execution_timeout=600)


def _outcomes(result: ExecutionResult) -> tuple[dict[str, str], dict[str, str]]:
    assert result.ok, (result.error, result.hints)
    outcomes, details = result.value
    return outcomes, details


@pytest.mark.parametrize("module", MODULES)
def test_tests_of_cpython_go_as_in_a_plain_run_and_again_in_a_replay(
    codemode: Codemode, elsewhere: Codemode, module: str
) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"Python {sys.version.split()[0]} has no {module}")
    without = [*FORKING, *(test for tests in SHARING.values() for test in tests)]
    recording = Recording()
    plain, _ = _outcomes(_run(codemode, [module], without=without))
    first = _run(codemode, [module], recording, without)
    recorded, details = _outcomes(first)
    assert "passed" in plain.values()
    differing = {
        test: details.get(test)
        for test in plain.keys() | recorded.keys()
        if plain.get(test) != recorded.get(test)
    }
    if differing:  # some of these tests depend on how busy the machine is
        tests = sorted({test.partition(" ")[0] for test in differing})
        plain, _ = _outcomes(_run(codemode, tests))
        assert _outcomes(_run(codemode, tests, Recording()))[0] == plain, differing
    again = _run(elsewhere, [module], Recording.from_bytes(recording.to_bytes()), without)
    assert _shown(again) == _shown(first)


def _shown(result: ExecutionResult) -> tuple[Any, ...]:
    return result.status, _outcomes(result)[0], result.stdout, result.stderr


@pytest.mark.parametrize(
    "test", [f"{case}.{test}" for case, tests in SHARING.items() for test in tests]
)
def test_threads_that_share_something_pass_and_are_noticed_in_a_replay(
    codemode: Codemode, elsewhere: Codemode, test: str
) -> None:
    recording = Recording()
    outcomes, _ = _outcomes(_run(codemode, [test], recording))
    assert outcomes == {test: "passed"}
    assert _run(elsewhere, [test], recording).status in ("completed", "diverged")
