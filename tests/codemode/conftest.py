from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codemode import ClientConfig, Codemode
from tests.support.halves import Half
from tests.support.processes import ExecutorProcess


@pytest.fixture(scope="session")
def executor() -> Iterator[ExecutorProcess]:
    """Yield the executor that all tests share; it must survive whatever they do."""
    with ExecutorProcess() as process:
        yield process


@pytest.fixture
def own_executor() -> Iterator[ExecutorProcess]:
    """Yield an executor that the test may destroy."""
    with ExecutorProcess() as process:
        yield process


@pytest.fixture
def codemode(executor: ExecutorProcess) -> Iterator[Codemode]:
    """Yield a facade of the shared executor, with a registry of its own."""
    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as facade:
        yield facade


@pytest.fixture(params=["sync", "async"])
def half(request: pytest.FixtureRequest) -> Half:
    """Return each of the two halves of the client in turn."""
    return Half(request.param)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Yield a folder that sandboxes of other users may enter; its path is short enough for a
    socket.
    """
    with tempfile.TemporaryDirectory(prefix="cm-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
