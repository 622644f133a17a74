from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings

from codemode import ClientConfig, Codemode
from django_codemode.shared import shared
from tests.concurrency.places import leave_no_connection, queries
from tests.concurrency.tools import TOOLS
from tests.support.processes import ExecutorProcess


@pytest.fixture(scope="session")
def executor() -> Iterator[ExecutorProcess]:
    """Yield the executor that all tests here share; it must survive whatever they do."""
    with ExecutorProcess() as process:
        yield process


@pytest.fixture
def codemode(executor: ExecutorProcess) -> Iterator[Codemode]:
    """Yield a facade of the shared executor, with a registry of its own.

    Its timeout is longer than any test's: a hanging run fails, and a slow one does not.
    """
    limits = {"execution_timeout": 600, "queue_timeout": 600}
    config = ClientConfig(executor_url=executor.url, limits=limits)
    with Codemode.from_client_config(config) as facade:
        yield facade


@pytest.fixture(scope="module")
def project(executor: ExecutorProcess) -> Iterator[None]:
    """Set up a Django project whose tools report where they run, with its queries watched."""
    settings = override_settings(
        ROOT_URLCONF="tests.concurrency.styles",
        CODEMODE={"EXECUTOR_URL": executor.url, "TENANT_HEADER": "X-Tenant-ID"},
    )
    with settings, queries.watched():
        # asgiref's shared thread may already have a connection that is not watched.
        asyncio.run(sync_to_async(leave_no_connection)())
        for name, tool in TOOLS.items():
            shared.registry.register_tool(name, tool)
        yield
        for name in TOOLS:
            shared.registry.unregister_tool(name)
        asyncio.run(sync_to_async(leave_no_connection)())
