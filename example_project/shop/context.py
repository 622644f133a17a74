"""For whom a request to the example acts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_codemode.context import default_provider

MERCHANT_HEADER = "X-Merchant"


def context_of(request: HttpRequest) -> dict[str, Any]:
    """Return the usual context, for the merchant of the header or else the first one.

    The shop has no logins of its own. A real project takes the tenant from what
    the user cannot choose, such as the user's account.
    """
    merchant = request.headers.get(MERCHANT_HEADER, "nordlicht")
    return {**default_provider(request), "tenant_id": merchant}
