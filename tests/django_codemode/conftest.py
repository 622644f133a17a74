from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.test import override_settings

from django_codemode.shared import shared
from tests.support.django_servers import session_headers
from tests.support.processes import ExecutorProcess
from tests.support.sandboxes import Sandboxes


@pytest.fixture
def coder(db: None) -> User:
    """Return a user whose only permission is to execute code."""
    user = User.objects.create_user("coder")
    user.user_permissions.add(Permission.objects.get(codename="execute_code"))
    return user


@pytest.fixture
def coder_headers(coder: User) -> dict[str, str]:
    """Return the headers of a browser in which ``coder`` is logged in."""
    return session_headers(coder)


@pytest.fixture(scope="module")
def open_executor() -> Iterator[ExecutorProcess]:
    """Yield an executor whose sandboxes know their own process ids."""
    with ExecutorProcess() as executor:
        yield executor


@pytest.fixture
def use_open_executor(open_executor: ExecutorProcess) -> Iterator[ExecutorProcess]:
    # A timeout so long that it never ends a run while a test waits for another end.
    limits = {"max_output_bytes": 64 * 2**20, "execution_timeout": 600}
    with override_settings(CODEMODE={"EXECUTOR_URL": open_executor.url, "LIMITS": limits}):
        yield open_executor


@pytest.fixture
def sandboxes(use_open_executor: ExecutorProcess) -> Iterator[Sandboxes]:
    noting = Sandboxes()
    shared.registry.register_tool("testapp_here", noting)
    yield noting
    shared.registry.unregister_tool("testapp_here")
