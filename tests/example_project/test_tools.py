from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from codemode import ExecutionResult
from django_codemode import get_codemode
from shop.models import Order, Refund

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def clerk() -> User:
    user = User.objects.create_user("clerk")
    user.user_permissions.add(
        Permission.objects.get(content_type__app_label="shop", codename="add_refund")
    )
    return user


@pytest.fixture
def order() -> Order:
    """Return a shipped order without refunds."""
    order = Order.objects.filter(merchant__slug="prairie", status="shipped", refunds=None).first()
    assert order is not None
    return order


def run(code: str, *, user: User | None = None, **inputs: Any) -> ExecutionResult:
    codemode = get_codemode()
    with codemode.registry.context(tenant_id="prairie", user=user):
        return codemode.run(code, inputs=inputs)


def test_a_clerk_pays_back_a_part_of_an_order(clerk: User, order: Order) -> None:
    code = "from decimal import Decimal\nrefund(order, Decimal('1.50'), reason='late')"
    result = run(code, user=clerk, order=order.pk)

    assert result.status == "completed", result.error
    assert result.value["left"] == order.amount - Decimal("1.50")
    assert Refund.objects.get(order=order).amount == Decimal("1.50")


def test_nobody_but_a_clerk_pays_anything_back(order: Order) -> None:
    stranger = User.objects.create_user("stranger")
    for user in (None, stranger):
        result = run("refund(order, '1.50', 'late')", user=user, order=order.pk)
        assert result.status == "failed"
    assert not order.refunds.exists()


def test_no_more_is_paid_back_than_was_paid(clerk: User, order: Order) -> None:
    code = "refund(order, amount, 'late'); refund(order, '0.01', 'again')"
    result = run(code, user=clerk, order=order.pk, amount=order.amount)

    assert result.error is not None
    assert f"Cannot refund 0.01 {order.currency} of order {order.pk}" in result.error.message
    assert [refund.amount for refund in order.refunds.all()] == [order.amount]


def test_an_order_of_another_merchant_is_not_there(clerk: User) -> None:
    foreign = Order.objects.filter(merchant__slug="nordlicht", status="shipped").first()
    assert foreign is not None
    result = run("refund(order, '1.50', 'late')", user=clerk, order=foreign.pk)

    assert result.error is not None
    assert "does not exist" in result.error.message


def test_orders_come_in_pages_oldest_first(order: Order) -> None:
    code = """
first, second = list_orders(page=1, page_size=40), list_orders(page=2, page_size=40)
rest = list_orders(page=3, page_size=40)
[len(first), len(second), len(rest), [o["id"] for o in first + second + rest]]
"""
    sizes_and_ids = run(code).value
    assert sizes_and_ids[:3] == [40, 40, 10]
    assert sizes_and_ids[3] == list(
        Order.objects.filter(merchant__slug="prairie").values_list("pk", flat=True)
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("list_orders(page=0)", "pages count from 1"),
        ("list_orders('lost')", "none of open, paid, shipped, cancelled"),
        ("await get_rate('XXX')", "there are rates for EUR"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_right_ones(code: str, message: str) -> None:
    result = run(code)
    assert result.error is not None
    assert message in result.error.message


def test_code_without_a_merchant_gets_nothing() -> None:
    result = get_codemode().run("list_orders()")
    assert result.error is not None
    assert "no 'tenant_id'" in result.error.message
