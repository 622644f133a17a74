from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from codemode import ClientConfig, Codemode, ExecutionResult
from tests.support.processes import ExecutorProcess


@pytest.fixture(scope="session")
def executor() -> Iterator[ExecutorProcess]:
    """Give the executor that all tests share; it must survive whatever they do."""
    with ExecutorProcess() as process:
        yield process


@pytest.fixture
def own_executor() -> Iterator[ExecutorProcess]:
    """Give an executor that the test may destroy."""
    with ExecutorProcess() as process:
        yield process


@pytest.fixture
def codemode(executor: ExecutorProcess) -> Iterator[Codemode]:
    """Give a facade of the shared executor, with a registry of its own."""
    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as facade:
        yield facade


class Half:
    """Run code by one of the two halves, from a thread that has no event loop."""

    def __init__(self, name: Literal["sync", "async"]) -> None:
        self.name = name

    def run(self, codemode: Codemode, code: str, **options: Any) -> ExecutionResult:
        if self.name == "sync":
            return codemode.run(code, **options)
        return asyncio.run(codemode.run_async(code, **options))


@pytest.fixture(params=["sync", "async"])
def half(request: pytest.FixtureRequest) -> Half:
    """Give each of the two halves of the client in turn."""
    return Half(request.param)
