from __future__ import annotations

import threading
from typing import Any

from django.db import connection
from django.utils.translation import gettext_lazy

from codemode import tool
from codemode.core.registry import RuntimeContext, get_current_context
from shop.codemode_tools import list_orders
from shop.models import Merchant

__all__ = ["list_orders"]  # a tool of another module, which stays one tool

NUMBER = 7


@tool(name="testapp.slugs")
def slugs() -> list[str]:
    """List the merchants."""
    return list(Merchant.objects.order_by("slug").values_list("slug", flat=True))


@tool(name="testapp.aslugs")
async def aslugs() -> list[str]:
    """List the merchants, from a task."""
    return [slug async for slug in Merchant.objects.order_by("slug").values_list("slug", flat=True)]


@tool(name="testapp.add")
def add(slug: str) -> int:
    """Add a merchant."""
    return Merchant.objects.create(slug=slug, name=slug, currency="EUR").pk


@tool(name="testapp.where")
def where() -> dict[str, Any]:
    """Return where the tool runs."""
    return {"thread": threading.get_ident(), "atomic": connection.in_atomic_block}


@tool(name="testapp.pooled", thread_sensitive=False)
def pooled() -> int:
    """Return the thread of the pool in which the tool runs."""
    Merchant.objects.count()
    return threading.get_ident()


@tool(name="testapp.whoami")
def whoami() -> dict[str, str]:
    """Return the tool's context."""
    return describe(get_current_context())


@tool(name="testapp.awhoami")
async def awhoami() -> dict[str, str]:
    """Return the tool's context, from a task."""
    return describe(get_current_context())


@tool(name="testapp.secret", permission="shop.add_refund")
def secret() -> str:
    """Tell a secret."""
    return "the secret"


@tool(name="testapp.lazy")
def lazy() -> list[object]:
    """Return lazy texts."""
    return [gettext_lazy("Save"), {"label": gettext_lazy("Cancel")}]


@tool(name="testapp.rows")
def rows(form: str) -> Any:
    """Return rows in one of the forms that Django has."""
    merchants = Merchant.objects.order_by("slug")
    return {
        "values": merchants.values("slug", "currency"),
        "list": merchants.values_list("slug", "currency"),
        "flat": merchants.values_list("slug", flat=True),
        "named": merchants.values_list("slug", "currency", named=True),
        "nested": {"page": merchants.values_list("slug", flat=True)[:1]},
        "models": merchants,
        "model": merchants.first(),
        "evaluated": _evaluated(merchants.values("slug")),
    }[form]


@tool(name="testapp.arows")
async def arows() -> Any:
    """Return a QuerySet, from a task."""
    return Merchant.objects.values("slug")


def describe(context: RuntimeContext | None) -> dict[str, str]:
    return {name: str(value) for name, value in (context or {}).items()}


def _evaluated(queryset: Any) -> Any:
    list(queryset)
    return queryset
