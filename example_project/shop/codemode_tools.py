"""The tools of the shop, each for the merchant that the execution acts for.

No tool takes the merchant as an argument. The merchant comes from the
RuntimeContext, which the code that calls a tool cannot see or set.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from django.db import transaction
from django.db.models import Count, Max, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from codemode import tool
from codemode.core.registry import RuntimeContext, get_current_context
from shop.models import CENT, Customer, Merchant, Order, Refund

NOTHING = Decimal(0)

# Euros for one unit of the currency.
RATES = {
    "EUR": Decimal(1),
    "GBP": Decimal("1.1712"),
    "JPY": Decimal("0.006187"),
    "SEK": Decimal("0.0912"),
    "USD": Decimal("0.8645"),
}


class OrderRow(TypedDict):
    id: int
    customer: str
    placed_at: datetime
    currency: str
    amount: Decimal
    refunded: Decimal
    status: str


class MerchantRow(TypedDict):
    name: str
    currency: str


class CustomerRow(TypedDict):
    id: int
    name: str
    country: str
    orders: int
    last_order_at: datetime | None


class RefundRow(TypedDict):
    id: int
    order_id: int
    amount: Decimal
    left: Decimal


def _tenant(context: RuntimeContext | None) -> str:
    """Return the slug of the merchant that the running execution acts for."""
    slug = context.get("tenant_id") if context is not None else None
    if not slug:
        raise LookupError("No merchant: the context of this execution has no 'tenant_id'")
    return str(slug)


def _orders() -> QuerySet[Order]:
    return Order.objects.filter(merchant__slug=_tenant(get_current_context()))


@tool(effects="reads")
def list_orders(status: str | None = None, page: int = 1, page_size: int = 100) -> list[OrderRow]:
    """List the merchant's orders from oldest to newest; a page past the last one is empty."""
    if page < 1 or not 1 <= page_size <= 100:
        raise ValueError(
            f"page={page}, page_size={page_size}: pages count from 1, of 1 to 100 rows"
        )
    if status is not None and status not in Order.Status.values:
        raise ValueError(f"status={status!r} is none of {', '.join(Order.Status.values)}")
    orders = _orders() if status is None else _orders().filter(status=status)
    rows = orders.select_related("customer").annotate(
        refunded=Coalesce(Sum("refunds__amount"), NOTHING)
    )
    start = (page - 1) * page_size
    return [
        OrderRow(
            id=order.pk,
            customer=order.customer.name,
            placed_at=order.placed_at,
            currency=order.currency,
            amount=order.amount,
            refunded=order.refunded.quantize(CENT),
            status=order.status,
        )
        for order in rows[start : start + page_size]
    ]


@tool(effects="reads")
async def get_rate(currency: str) -> Decimal:
    """Return how many euros one unit of a currency is worth."""
    # About as long as a nearby rate service would take.
    await asyncio.sleep(0.01)
    try:
        return RATES[currency]
    except KeyError:
        known = ", ".join(RATES)
        raise ValueError(f"No rate for {currency!r}; there are rates for {known}") from None


@tool(effects="reads")
async def find_customers(name: str = "", country: str | None = None) -> list[CustomerRow]:
    """Find the merchant's customers by a part of their name, and by country (such as 'DE')."""
    customers = Customer.objects.filter(
        merchant__slug=_tenant(get_current_context()), name__icontains=name
    )
    if country is not None:
        customers = customers.filter(country=country.upper())
    customers = customers.order_by("name")
    rows = customers.annotate(number=Count("orders"), last_order_at=Max("orders__placed_at"))
    return [
        CustomerRow(
            id=customer.pk,
            name=customer.name,
            country=customer.country,
            orders=customer.number,
            last_order_at=customer.last_order_at,
        )
        async for customer in rows
    ]


@tool(name="merchant", effects="reads")
class CurrentMerchant:
    """Describe the merchant that this code acts for."""

    def run_with_context(self, context: RuntimeContext) -> MerchantRow:
        merchant = Merchant.objects.get(slug=_tenant(context))
        return MerchantRow(name=merchant.name, currency=merchant.currency)


@tool(permission="shop.add_refund", effects="database")
def refund(order_id: int, amount: Decimal, reason: str) -> RefundRow:
    """Pay back a part of an order, at most what has not been paid back yet."""
    with transaction.atomic():
        order = _orders().select_for_update().get(pk=order_id)
        paid_back: dict[str, Any] = order.refunds.aggregate(total=Coalesce(Sum("amount"), NOTHING))
        left = (order.amount - paid_back["total"]).quantize(CENT)
        if not 0 < amount <= left:
            raise ValueError(
                f"Cannot refund {amount} {order.currency} of order {order_id}: "
                f"expected more than 0 and at most {left}"
            )
        row = Refund.objects.create(
            order=order, amount=amount, reason=reason, refunded_at=timezone.now()
        )
    return RefundRow(id=row.pk, order_id=order.pk, amount=amount, left=left - amount)
