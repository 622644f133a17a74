"""Django's connections and QuerySets, as tools use them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections
from django.db.models import QuerySet
from django.db.models.query import ModelIterable, NamedValuesListIterable

from codemode.errors import ValueEncodingError
from codemode.values import register_converter
from django_codemode.conf import get_settings

__all__ = ["close_connections", "register_converters", "release_connections", "rows"]


def release_connections() -> None:
    """Close this thread's connections that are broken or past their maximum age.

    A connection inside a transaction stays open: it belongs to other code, such
    as a TestCase.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def close_connections() -> None:
    """Close this thread's connections, whatever their age, because the thread ends."""
    connections.close_all()


def register_converters() -> None:
    """Register the converter for QuerySets of ``.values()`` and ``.values_list()``."""
    register_converter(_holds_values, rows)


def rows(queryset: QuerySet[Any, Any]) -> list[Any]:
    """Evaluate a QuerySet of values, up to ``MAX_ROWS`` rows; named rows become dicts.

    Raises ValueEncodingError if there are more rows, and in an event loop, where
    Django refuses the query.
    """
    limit = get_settings().max_rows
    try:
        found = list(queryset[: limit + 1])
    except SynchronousOnlyOperation as error:
        raise ValueEncodingError(
            "a QuerySet cannot be evaluated in an asynchronous tool; "
            "return [row async for row in queryset]"
        ) from error
    if len(found) > limit:
        raise ValueEncodingError(
            f"the QuerySet of {queryset.model._meta.label} has more than {limit:,} rows, the most "
            "that CODEMODE['MAX_ROWS'] lets travel; return a page of it: queryset[start:stop]"
        )
    if issubclass(queryset._iterable_class, NamedValuesListIterable):
        return [row._asdict() for row in found]
    return found


def _holds_values(value: object) -> bool:
    # Checked by type, because isinstance() would evaluate a lazy object. QuerySets of
    # model instances get the general refusal, which shows the .values() to write.
    if not issubclass(type(value), QuerySet):
        return False
    queryset: Any = value
    return not issubclass(queryset._iterable_class, ModelIterable)
