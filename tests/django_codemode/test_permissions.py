from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, Permission, User

from codemode import tool
from codemode.core.context import RuntimeContext
from codemode.errors import ConfigurationError
from codemode.tools import make_tool
from django_codemode import SYSTEM, get_codemode
from django_codemode.permissions import DjangoPermissionChecker, reload_user, require_permission
from django_codemode.refusals import RefusalError
from shop.models import Merchant

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


@pytest.mark.parametrize(
    "permission", ["shop.add_refund", ["shop.add_refund"], lambda context, user: True]
)
def test_missing_anonymous_and_inactive_users_are_refused(permission: Any) -> None:
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


ACTORS = ["nobody", "anonymous", "inactive", "without", "with", "system"]
MAY = {"with", "system"}


def actor(name: str, clerk: User) -> dict[str, Any]:
    """Return the context's variables of an actor."""
    if name == "inactive":
        clerk.is_active = False
    users: dict[str, Any] = {
        "anonymous": AnonymousUser(),
        "inactive": clerk,
        "without": User.objects.create_user("other"),
        "with": clerk,
        "system": SYSTEM,
    }
    return {"user": users[name]} if name in users else {}


@pytest.fixture
def guarded() -> Iterator[None]:
    """Register tools with a permission: in a namespace, plain, and asynchronous."""

    def guarded_sum(numbers: list[int]) -> int:
        """Add up what only some may know."""
        return sum(numbers)

    async def guarded_wait(seconds: float) -> str:
        """Wait as only some may."""
        return "waited"

    registry = get_codemode().registry
    names = ("guarded_sum", "guarded_wait", "guarded_room.sum")
    for name, function in zip(names, (guarded_sum, guarded_wait, guarded_sum), strict=True):
        registry.register_tool(name, tool(permission="shop.add_refund")(function))
    yield
    for name in names:
        registry.unregister_tool(name)


@pytest.mark.parametrize("who", ACTORS)
@pytest.mark.parametrize(
    "code",
    [
        "testapp.secret()",
        "guarded_sum([1, 2])",
        "guarded_sum(numbers=[1, 2])",
        "guarded_room.sum([1, 2])",
        "await guarded_wait(1.5)",
        "tools['guarded_sum'].run([1, 2])",
        "tools['guarded_sum'](numbers=[1])",
        "await tools['guarded_wait'].run(seconds=1)",
    ],
)
def test_only_permitted_users_call_a_tool_and_others_get_an_error(
    who: str, code: str, clerk: User, guarded: None
) -> None:
    with get_codemode().registry.context(**actor(who, clerk)):
        result = get_codemode().run(code)

    (call,) = result.tool_calls
    assert result.ok is (who in MAY)
    if who not in MAY:
        assert call.outcome == "refused"
        assert result.error is not None
        assert result.error.type == "PermissionDeniedError"
        assert result.error.message == f"{call.name} is not permitted for this caller"


@pytest.mark.parametrize("who", ACTORS)
def test_a_task_gets_the_error_as_well(who: str, clerk: User, guarded: None) -> None:
    run = async_to_sync(get_codemode().run_async)
    with get_codemode().registry.context(**actor(who, clerk)):
        result = run("guarded_sum([1]), await guarded_wait(1)")
    assert result.ok is (who in MAY)
    assert result.tool_calls[0].outcome == ("completed" if who in MAY else "refused")


@pytest.mark.parametrize("who", ACTORS)
def test_only_permitted_users_see_a_tool(who: str, clerk: User, guarded: None) -> None:
    registry = get_codemode().registry
    with registry.context(**actor(who, clerk)):
        catalogue = registry.visible(registry.tools, registry.get_context())
        result = get_codemode().run(
            """
help()
found = [tool.name for tool in tools.search("sum of what only some may know", limit=100)]
names = ["guarded_sum", "guarded_wait", "guarded_room.sum"]
result = {
    "search": [name for name in names if name in found],
    "in": [name for name in names if name in tools],
    "names": [name for name in names if name in tools.names()],
    "iter": [name for name in names if name in list(tools)],
    "repr": [name for name in names if name in repr(tools)],
    "dir": ["guarded_room.sum" for _ in range("sum" in dir(guarded_room))],
    "room": ["guarded_room.sum" for _ in range("sum" in repr(guarded_room))],
}
"""
        )

    assert result.ok, result.error
    shown = ["guarded_sum", "guarded_wait", "guarded_room.sum"] if who in MAY else []
    assert [name for name in catalogue if "guarded" in name] == shown
    for way, names in result.value.items():
        assert names == (shown[-1:] if way in {"dir", "room"} else shown), way
    assert ("guarded" in result.stdout) is (who in MAY)


def test_the_description_of_a_tool_is_shown_to_permitted_users_alone(guarded: None) -> None:
    code = """
import inspect
help(guarded_sum)
print(tools["guarded_sum"], guarded_sum.__doc__, inspect.signature(guarded_sum))
try:
    guarded_su()
except NameError as error:
    pass
eval("guarded_su")
"""
    result = get_codemode().run(code)
    assert result.error is not None
    told = result.stdout + result.error.message + result.error.traceback
    assert "Not permitted for this caller." in result.stdout
    assert "numbers" not in told
    assert "may know" not in told
    assert "Did you mean this tool" not in told


def test_a_callable_is_checked_at_each_call_and_djangos_permissions_once(clerk: User) -> None:
    allowed = True

    def take() -> None:
        nonlocal allowed
        allowed = False
        clerk.user_permissions.clear()

    registry = get_codemode().registry
    registry.register_tool("guarded_take", take)
    registry.register_tool("guarded_now", tool(permission=lambda context, user: allowed)(lambda: 1))
    try:
        with registry.context(user=clerk):
            before = get_codemode().run("testapp.secret(), guarded_now()")
            # The current run keeps the permissions with which it began.
            during = get_codemode().run("guarded_take()\ntestapp.secret()\nguarded_now()")
        with registry.context(user=User.objects.get(pk=clerk.pk)):  # as in the next request
            after = get_codemode().run("testapp.secret()")
    finally:
        registry.unregister_tool("guarded_take")
        registry.unregister_tool("guarded_now")

    assert before.ok
    assert [call.outcome for call in during.tool_calls] == ["completed", "completed", "refused"]
    assert [call.outcome for call in after.tool_calls] == ["refused"]


def test_a_user_without_permission_may_call_the_other_tools(guarded: None) -> None:
    with get_codemode().registry.context(user=AnonymousUser()):
        assert get_codemode().run("testapp.lazy()").ok


def test_a_tool_outside_the_allow_list_is_an_unknown_name(clerk: User, guarded: None) -> None:
    with get_codemode().registry.context(user=clerk):
        result = get_codemode().run("guarded_sum([1])", available_tools=["testapp.lazy"])
    assert result.error is not None
    assert result.error.type == "NameError"


def test_a_view_may_require_several_permissions(clerk: User) -> None:
    needed = ["shop.add_refund", "shop.view_refund"]
    clerk.user_permissions.add(Permission.objects.get(codename="add_refund"))
    with pytest.raises(RefusalError, match=r"shop\.add_refund and shop\.view_refund"):
        require_permission(User.objects.get(pk=clerk.pk), needed)

    clerk.user_permissions.add(Permission.objects.get(codename="view_refund"))
    for several in (needed, tuple(needed)):
        require_permission(User.objects.get(pk=clerk.pk), several)


@pytest.mark.parametrize("none", ["", [], ()])
def test_a_view_that_names_no_permission_lets_nobody_in(clerk: User, none: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a name such as 'shop\.add_refund'"):
        require_permission(clerk, none)


def test_a_user_model_without_a_column_is_active_is_reloaded(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_codemode.permissions.get_user_model", lambda: Merchant)
    monkeypatch.setattr(Merchant, "is_authenticated", True, raising=False)
    monkeypatch.setattr(Merchant, "is_active", True, raising=False)
    merchant = Merchant.objects.create(slug="acme", name="", currency="EUR")

    assert reload_user({"user": merchant}) == merchant
    monkeypatch.setattr(Merchant, "is_active", False)
    assert reload_user({"user": merchant}) is None


def test_a_callable_that_would_have_to_be_awaited_permits_nobody(clerk: User) -> None:
    async def later(context: RuntimeContext, user: Any) -> bool:
        return True

    with pytest.raises(TypeError, match="is asynchronous and was not run"):
        allows(lambda context, user: later(context, user), clerk)
