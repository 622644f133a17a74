from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User

from codemode import tool
from codemode.core.context import RuntimeContext
from codemode.core.registry import ComponentRegistry
from codemode.tools import make_tool
from django_codemode import SYSTEM, get_codemode
from django_codemode.permissions import DjangoPermissionChecker

pytestmark = pytest.mark.django_db


def allows(permission: Any, user: Any = None, **variables: Any) -> bool:
    def act() -> None: ...

    made = make_tool("act", tool(permission=permission)(act))
    if user is not None:
        variables["user"] = user
    return DjangoPermissionChecker().allows(made, RuntimeContext(variables))


@pytest.fixture
def clerk() -> User:
    user = User.objects.create_user("clerk")
    user.user_permissions.add(Permission.objects.get(codename="add_refund"))
    return user


def test_a_tool_without_permission_is_for_everybody() -> None:
    assert allows(None)
    assert allows(None, AnonymousUser())


@pytest.mark.parametrize("permission", ["shop.add_refund", [], lambda context, user: True])
def test_no_user_an_anonymous_and_an_inactive_one_are_refused(permission: Any) -> None:
    assert not allows(permission)
    assert not allows(permission, AnonymousUser())
    assert not allows(permission, User(username="x", is_active=False, is_superuser=True))
    assert not allows(permission, "clerk")


def test_the_users_permission_decides(clerk: User) -> None:
    assert allows("shop.add_refund", clerk)
    assert not allows("shop.delete_refund", clerk)
    assert allows("shop.delete_refund", User(username="root", is_superuser=True))


def test_several_permissions_are_all_needed(clerk: User) -> None:
    assert allows(("shop.add_refund",), clerk)
    assert not allows(["shop.add_refund", "shop.delete_refund"], clerk)


def test_a_callable_decides_by_context_and_user(clerk: User) -> None:
    def own_tenant(context: RuntimeContext, user: Any) -> bool:
        return bool(user.username == "clerk" and context.get("tenant_id") == "acme")

    assert allows(own_tenant, clerk, tenant_id="acme")
    assert not allows(own_tenant, clerk, tenant_id="other")


def test_the_system_is_above_permissions_and_nothing_else_is() -> None:
    assert allows("shop.add_refund", SYSTEM)
    assert allows(lambda context, user: False, SYSTEM)
    assert not allows("shop.add_refund", repr(SYSTEM))


def test_a_tool_that_is_not_permitted_is_neither_seen_nor_called(clerk: User) -> None:
    registry: ComponentRegistry = get_codemode().registry
    for user, permitted in (
        (clerk, True),
        (User.objects.create_user("other"), False),
        (None, False),
    ):
        variables = {} if user is None else {"user": user}
        with registry.context(**variables):
            result = get_codemode().run("testapp.secret()")
            catalogue = registry.visible(registry.tools, registry.get_context())
        assert result.ok is permitted
        assert ("testapp.secret" in catalogue) is permitted
