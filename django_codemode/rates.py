"""How often a user may execute: counted in Django's cache, in windows of fixed length."""

from __future__ import annotations

import time
from hashlib import sha256

from django.core.cache import caches

from codemode.errors import ConfigurationError
from django_codemode.conf import check_rate, get_settings
from django_codemode.refusals import RefusalError

__all__ = ["PERIODS", "count_execution"]

# Ours, because what there is as a library does not count from websockets and
# refuses caches that suffice for one process.

PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def count_execution(who: object, rate: str | None) -> None:
    """Count one execution of somebody; raise RefusalError when it is one too many.

    ``rate`` is such as ``"60/minute"``, None sets no bound. Windows begin at
    whole minutes, hours and so on, so that two windows' worth may come at once
    where one ends. May wait for the cache. Raises ConfigurationError for what
    is no rate, such as a hook may give.
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
    # Hashed, because a primary key may have what a key of a cache may not.
    name = sha256(str(who).encode()).hexdigest()
    if _increase(f"django_codemode.rate:{name}:{seconds}:{window:.0f}", 2 * seconds) > int(allowed):
        wait = int(seconds - passed) + 1
        raise RefusalError(
            "rate_limited",
            f"at most {allowed} executions per {period} are allowed; try again in {wait} s",
            status=429,
            retry_after=wait,
        )


def _increase(key: str, lifetime: int) -> int:
    cache = caches[get_settings().rate_limit_cache]
    if cache.add(key, 1, lifetime):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # The cache has dropped it meanwhile, or keeps nothing at all.
        cache.set(key, 1, lifetime)
        return 1
