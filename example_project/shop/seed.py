"""The example's data: the same rows on every machine."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from django.db import transaction

from shop.models import CENT, Customer, Merchant, Order, Refund

YEAR = 2025

MERCHANTS = [
    ("nordlicht", "Nordlicht Outdoor", "EUR", 210),
    ("kiyomizu", "Kiyomizu Ceramics", "JPY", 130),
    ("prairie", "Prairie Seeds", "USD", 90),
]
CUSTOMERS_PER_MERCHANT = 20
CURRENCIES = ["EUR", "USD", "GBP", "JPY", "SEK"]
COUNTRIES = ["DE", "US", "GB", "JP", "SE", "FR"]
FIRST_NAMES = ["Ada", "Björn", "Chiara", "Daan", "Emi", "Femi", "Grace", "Hugo", "Inès", "Jun"]
LAST_NAMES = ["Almeida", "Berg", "Costa", "Dubois", "Eriksen", "Fujita"]
REASONS = ["arrived broken", "wrong size", "late", "changed their mind"]


@transaction.atomic
def seed() -> bool:
    """Fill an empty shop; return whether there was anything to do."""
    if Merchant.objects.exists():
        return False
    numbers = random.Random(7)  # noqa: S311 - data, not secrets
    for slug, name, currency, count in MERCHANTS:
        merchant = Merchant.objects.create(slug=slug, name=name, currency=currency)
        customers = Customer.objects.bulk_create(_customers(merchant, numbers))
        orders = Order.objects.bulk_create(_orders(merchant, customers, count, numbers))
        Refund.objects.bulk_create(_refunds(orders, numbers))
    return True


def _customers(merchant: Merchant, numbers: random.Random) -> list[Customer]:
    people = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    return [
        Customer(
            merchant=merchant,
            name=name,
            email=f"customer{number}@{merchant.slug}.example",
            country=numbers.choice(COUNTRIES),
        )
        for number, name in enumerate(numbers.sample(people, CUSTOMERS_PER_MERCHANT), start=1)
    ]


def _orders(
    merchant: Merchant, customers: list[Customer], count: int, numbers: random.Random
) -> list[Order]:
    start = datetime(YEAR, 1, 1, tzinfo=UTC)
    minutes_of_year = 365 * 24 * 60
    statuses = [*Order.Status.values, Order.Status.SHIPPED, Order.Status.SHIPPED]
    moments = sorted(numbers.sample(range(minutes_of_year), count))
    return [
        Order(
            merchant=merchant,
            customer=numbers.choice(customers),
            placed_at=start + timedelta(minutes=moment),
            # About 60 % of the orders are in the merchant's own currency.
            currency=numbers.choice([merchant.currency] * len(CURRENCIES) + CURRENCIES),
            amount=Decimal(numbers.randint(350, 48_000)) / 100,
            status=numbers.choice(statuses),
        )
        for moment in moments
    ]


def _refunds(orders: list[Order], numbers: random.Random) -> list[Refund]:
    refunds = []
    for order in orders:
        if order.status != Order.Status.SHIPPED or numbers.random() > 0.2:
            continue
        share = numbers.choice([25, 50, 100])
        refunds.append(
            Refund(
                order=order,
                amount=(order.amount * share / 100).quantize(CENT, ROUND_DOWN),
                reason=numbers.choice(REASONS),
                refunded_at=order.placed_at + timedelta(days=numbers.randint(1, 20)),
            )
        )
    return refunds
