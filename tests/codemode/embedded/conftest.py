from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemode import Codemode
from tests.support.embedded_host import leftovers


@pytest.fixture
def folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Yield the temporary folder of the test's embedded executors; they must leave it empty."""
    tmp_path_factory.getbasetemp()  # created on first use, which must not be in this folder
    # Not tmp_path: its name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="cm-test-") as name:
        monkeypatch.setattr("tempfile.tempdir", name)
        yield Path(name)
        assert leftovers(Path(name)) == []


@pytest.fixture
def own(folder: Path) -> Iterator[Codemode]:
    """Yield a facade with an executor of its own."""
    with Codemode() as codemode:
        yield codemode
