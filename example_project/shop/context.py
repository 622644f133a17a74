"""The RuntimeContext of a request to the example."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_codemode.context import default_provider

MERCHANT_HEADER = "X-Merchant"


def context_of(request: HttpRequest) -> dict[str, Any]:
    """Return the default context, with the merchant of the header or else the first merchant.

    The shop has no logins. A real project takes the tenant from something that
    the user cannot choose, such as the user's account.
    """
    merchant = request.headers.get(MERCHANT_HEADER, "nordlicht")
    return {**default_provider(request), "tenant_id": merchant}
