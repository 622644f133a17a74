"""That the proofs are no formality: without its mechanism, each fails.

``python -m tests.concurrency mutations`` prints this as a table.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from tests.concurrency.mutations import MUTATIONS, NOTICED, VARIABLE
from tests.support.paths import ROOT

_MAX_SECONDS = 180.0


def run(test: str, mutation: str) -> str:
    """Run a test without a mechanism, in a process of its own, and return pytest's output."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-x", "-m", ""]
    command += ["-p", "no:cacheprovider"]
    command += ["-p", "tests.concurrency.mutations", "--timeout", "60", f"tests/{test}"]
    # What is killed leaves its files behind, but not here.
    with tempfile.TemporaryDirectory(prefix="cm-") as folder:
        environment = {VARIABLE: mutation, "CODEMODE_TEST_PATIENCE": "10", "TMPDIR": folder}
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
                # Its executor goes with it.
                os.killpg(process.pid, signal.SIGKILL)
                return process.communicate()[0]
            seen = noticed(_text(error.output))


def _text(output: bytes | str | None) -> str:
    return output.decode() if isinstance(output, bytes) else output or ""


def noticed(output: str) -> bool:
    """Tell whether it was a test that failed: it was found, and could begin."""
    return re.search(r"^\.*F", output, re.MULTILINE) is not None


@pytest.mark.deep
@pytest.mark.timeout(240)
@pytest.mark.parametrize("mutation, test", NOTICED)
def test_a_proof_fails_without_its_mechanism(mutation: str, test: str) -> None:
    output = run(test, mutation)
    assert noticed(output), output


def test_every_mutation_has_a_proof() -> None:
    assert {mutation for mutation, _ in NOTICED} == MUTATIONS.keys()
