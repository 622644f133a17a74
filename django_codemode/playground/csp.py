"""Pictures under a Content-Security-Policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase

__all__ = ["allow_data_pictures", "with_data_pictures"]


def allow_data_pictures(response: HttpResponseBase) -> None:
    """Allow ``data:`` pictures in one response, under the policies of Django's settings.

    Works as Django's ``csp_override`` decorators, with a policy made from the
    current settings. Has no effect without SECURE_CSP (Django 5.2 has none), or
    if another middleware sets the policy.
    """
    for name, attribute in (
        ("SECURE_CSP", "_csp_config"),
        ("SECURE_CSP_REPORT_ONLY", "_csp_ro_config"),
    ):
        if policy := getattr(settings, name, None):
            setattr(response, attribute, with_data_pictures(policy))


def with_data_pictures(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy with ``data:`` added to the sources of pictures, and nothing else."""
    given = policy.get("img-src", policy.get("default-src"))
    if not given:
        return dict(policy)  # Pictures are not restricted.
    sources = [given] if isinstance(given, str) else list(given)
    sources = [one for one in sources if str(one) != "'none'"]
    if "data:" not in sources:
        sources.append("data:")
    return {**policy, "img-src": sources}
