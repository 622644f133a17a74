"""That the proofs are no formality: without its mechanism, each fails.

``python -m tests.concurrency mutations`` prints this as a table.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.concurrency.mutations import MUTATIONS, NOTICED, VARIABLE

ROOT = Path(__file__).resolve().parents[2]


def run(test: str, mutation: str) -> str:
    """Run a test without a mechanism, in a process of its own, and return pytest's output."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", ""]
    command += ["-p", "tests.concurrency.mutations", "--timeout", "60", f"tests/{test}"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, VARIABLE: mutation, "CODEMODE_TEST_PATIENCE": "10"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            # Something has failed and is stuck: with its executor it goes, and no test is left.
            os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()[0]


def noticed(output: str) -> bool:
    """Tell whether it was a test that failed: it was found, and could begin."""
    return re.search(r"^\.*F", output, re.MULTILINE) is not None


@pytest.mark.slow
@pytest.mark.parametrize("mutation, test", NOTICED)
def test_a_proof_fails_without_its_mechanism(mutation: str, test: str) -> None:
    output = run(test, mutation)
    assert noticed(output), output


def test_every_mutation_has_a_proof() -> None:
    assert {mutation for mutation, _ in NOTICED} == MUTATIONS.keys()
