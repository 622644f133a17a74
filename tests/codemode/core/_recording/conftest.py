from __future__ import annotations

from collections.abc import Iterator

import pytest

from codemode import ClientConfig, Codemode
from tests.support.processes import ExecutorProcess


@pytest.fixture(scope="package")
def other_executor() -> Iterator[ExecutorProcess]:
    """Yield a second executor, with processes and zygotes of its own."""
    with ExecutorProcess() as process:
        yield process


@pytest.fixture
def elsewhere(other_executor: ExecutorProcess, codemode: Codemode) -> Iterator[Codemode]:
    """Yield a facade of the second executor, with the tools of the first one's."""
    config = ClientConfig(executor_url=other_executor.url)
    with Codemode.from_client_config(config, registry=codemode.registry) as facade:
        yield facade
