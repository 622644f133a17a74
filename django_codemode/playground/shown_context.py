"""The part of a RuntimeContext that a page may show."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.views.debug import SafeExceptionReporterFilter

from codemode.core.context import RuntimeContext
from django_codemode.permissions import SYSTEM

__all__ = ["shown_context"]

_LONGEST = 200
_PLAIN = (str, int, float, Decimal, date, UUID, type(None))


def shown_context(context: RuntimeContext | None) -> dict[str, str]:
    """Return the variables of a context as text, with the user's name for the user.

    Values whose names Django's error pages would hide are hidden here too. For
    an object of the project's own, only the type is shown.
    """
    cleanse = SafeExceptionReporterFilter().cleanse_setting
    return {
        name: str(cleanse(name, _text(value)))[:_LONGEST]
        for name, value in ({} if context is None else context).items()
    }


def _text(value: Any) -> str:
    if value is SYSTEM or isinstance(value, _PLAIN):
        return str(value)
    if hasattr(value, "get_username"):
        return str(value.get_username()) or "anonymous"
    return f"a {type(value).__name__}"
