"""Attempts to execute at a rate."""

from __future__ import annotations

from django_codemode._requests.rates import count_execution
from django_codemode.refusals import RefusalError

__all__ = ["allowed"]


def allowed(who: object, rate: str | None, attempts: int) -> int:
    passed = 0
    for _ in range(attempts):
        try:
            count_execution(who, rate)
        except RefusalError:
            continue
        passed += 1
    return passed
