from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import override_settings

from tests.support.processes import ExecutorProcess

# The group frameworks has the package.
if find_spec("mcp") is None and "CODEMODE_TEST_FRAMEWORKS_REQUIRED" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def configure(use_open_executor: ExecutorProcess) -> Iterator[Callable[..., None]]:
    """Yield a function that adds keys to the setting for the rest of the test."""
    open_ones = []

    def add(**keys: object) -> None:
        overridden = override_settings(CODEMODE={**settings.CODEMODE, **keys})
        overridden.enable()
        open_ones.append(overridden)

    yield add
    for one in reversed(open_ones):
        one.disable()


@pytest.fixture
def clerk(coder: User) -> User:
    """Return a user who may execute code and call testapp.secret."""
    clerk = User.objects.create_user("clerk")
    names = ("execute_code", "add_refund")
    clerk.user_permissions.set(Permission.objects.filter(codename__in=names))
    return clerk
