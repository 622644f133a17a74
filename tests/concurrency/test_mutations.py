"""Proof that the tests of guarantees can fail: each fails without its mechanism.

``python -m tests.concurrency mutations`` prints this as a table.
"""

from __future__ import annotations

import pytest

from tests.concurrency.mutations import MUTATIONS
from tests.support.mutations import Mutation, each, noticed, run_without
from tests.support.paths import ROOT


@pytest.mark.deep
@pytest.mark.timeout(240)
@each(MUTATIONS)
def test_a_proof_fails_without_its_mechanism(mutation: Mutation[str]) -> None:
    output = run_without(MUTATIONS, mutation)
    assert noticed(output), output


def test_every_proof_exists() -> None:
    for mutation in MUTATIONS:
        path, *names = mutation.proof.partition("[")[0].split("::")
        source = (ROOT / "tests" / path).read_text("utf-8")
        for name in names:
            assert f"def {name}(" in source or f"class {name}" in source, mutation
