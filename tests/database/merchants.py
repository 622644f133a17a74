"""Tools that write merchants."""

from __future__ import annotations

from django.db import transaction

from shop.models import Merchant

__all__ = ["amake", "committed", "make", "make_and_tell", "make_twice", "slugs"]

committed: list[str] = []


def slugs() -> list[str]:
    return list(Merchant.objects.order_by("slug").values_list("slug", flat=True))


def make(slug: str) -> None:
    Merchant.objects.create(slug=slug, name=slug, currency="EUR")


def make_twice(slug: str) -> None:
    make(slug)
    make(slug)


def make_and_tell(slug: str) -> None:
    make(slug)
    transaction.on_commit(lambda: committed.append(slug))


async def amake(slug: str) -> None:
    await Merchant.objects.acreate(slug=slug, name=slug, currency="EUR")
