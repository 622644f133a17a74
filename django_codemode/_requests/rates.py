"""The rate limit of executions, counted in Django's cache in windows of fixed length."""

from __future__ import annotations

import random
import time
from hashlib import sha256

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.filebased import FileBasedCache

from codemode.errors import ConfigurationError
from django_codemode.conf import check_rate, get_settings
from django_codemode.refusals import RefusalError

__all__ = ["PERIODS", "count_execution", "counts_by_numbers", "why_unfit"]

# Implemented here, because the existing libraries do not count from websockets
# and refuse caches that suffice for one process.

_ATTEMPTS = 20

PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def count_execution(who: object, rate: str | None) -> None:
    """Count one execution of ``who``; raise RefusalError if it exceeds the rate.

    ``rate`` is a string such as ``"60/minute"``; None sets no bound. Windows
    begin at whole minutes, hours and so on, so that two windows' worth may come
    at once where one ends and the next begins. May wait for the cache. Raises
    ConfigurationError for an invalid rate, which a hook may return, and for a
    cache that cannot count.
    """
    if rate is None:
        return
    try:
        check_rate(rate)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    allowed, _, period = rate.partition("/")
    seconds = PERIODS[period]
    window, passed = divmod(time.time(), seconds)
    # Hashed, because a primary key may contain what a cache key may not.
    name = sha256(str(who).encode()).hexdigest()
    key = f"django_codemode.rate:{name}:{seconds}:{window:.0f}"
    if not _count(key, most=int(allowed), lifetime=2 * seconds):
        wait = int(seconds - passed) + 1
        raise RefusalError(
            "rate_limited",
            f"at most {allowed} executions per {period} are allowed; try again in {wait} s",
            status=429,
            retry_after=wait,
        )


def why_unfit(cache: BaseCache) -> str | None:
    """Return why a cache cannot count executions; None if it can."""
    if isinstance(cache, FileBasedCache):
        return (
            "a file cache lets two processes add the same key; expected Redis, Memcached, the "
            "database, or local memory for a single process"
        )
    return None


def counts_by_numbers(cache: BaseCache) -> bool:
    """Return whether each execution takes a separate entry, as in the database cache.

    The ``incr()`` that a backend inherits reads and then sets: it loses counts
    of concurrent callers, and restarts the entry's lifetime. ``add()`` does neither.
    """
    return type(cache).incr is BaseCache.incr


def _count(key: str, *, most: int, lifetime: int) -> bool:
    """Count one execution; return False if it is one too many."""
    alias = get_settings().rate_limit_cache
    cache = caches[alias]
    if (reason := why_unfit(cache)) is not None:
        raise ConfigurationError(f"the cache {alias!r} cannot count executions: {reason}")
    take = _take_number if counts_by_numbers(cache) else _increase
    for attempt in range(_ATTEMPTS):
        if (taken := take(cache, key, most, lifetime)) is not None:
            return taken
        # Of random length, so that concurrent callers do not collide again.
        time.sleep(random.uniform(0, min(0.5, 0.002 * 2**attempt)))  # noqa: S311  # no secret
    raise RuntimeError(f"the cache {alias!r} neither adds nor counts an entry: is it reachable?")


def _increase(cache: BaseCache, key: str, most: int, lifetime: int) -> bool | None:
    if cache.add(key, 1, lifetime):
        return True
    try:
        return cache.incr(key) <= most
    except ValueError:  # the cache has dropped the entry meanwhile
        return None


def _take_number(cache: BaseCache, key: str, most: int, lifetime: int) -> bool | None:
    """Take the first free number; only one caller can add it. Return None if the cache failed."""
    free, last = 1, most
    while free <= last:  # binary search: numbers are taken from 1 upwards
        middle = (free + last) // 2
        if cache.has_key(f"{key}:{middle}"):
            free = middle + 1
        else:
            last = middle - 1
    while free <= most:
        if cache.add(f"{key}:{free}", 1, lifetime):
            return True
        if not cache.has_key(f"{key}:{free}"):
            return None  # SQLite refuses concurrent writers; the backend hides the error
        free += 1
    return False
