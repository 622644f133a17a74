from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db.models import F, Max, Min, Sum

from shop.models import Customer, Merchant, Order, Refund
from shop.seed import seed


@pytest.mark.usefixtures("shop")
def test_the_shop_is_the_same_on_every_machine() -> None:
    assert Merchant.objects.count() == 3
    assert Customer.objects.count() == 60
    assert Order.objects.count() == 430
    assert Order.objects.values("currency").distinct().count() >= 4
    assert Order.objects.aggregate(first=Min("placed_at"), last=Max("placed_at")) == {
        "first": datetime(2025, 1, 1, 4, 4, tzinfo=UTC),
        "last": datetime(2025, 12, 31, 1, 42, tzinfo=UTC),
    }
    assert Order.objects.aggregate(total=Sum("amount"))["total"] == Decimal(99907)
    assert Refund.objects.aggregate(total=Sum("amount"))["total"] == Decimal("6417.33")


@pytest.mark.usefixtures("shop")
def test_the_rows_agree_with_each_other() -> None:
    assert not Order.objects.exclude(customer__merchant=F("merchant")).exists()
    overpaid = Order.objects.annotate(refunded=Sum("refunds__amount")).filter(
        refunded__gt=F("amount")
    )
    assert not overpaid.exists()


@pytest.mark.usefixtures("shop")
def test_seeding_again_changes_nothing() -> None:
    assert not seed()
    assert Order.objects.count() == 430
