"""Decimals written as text, held to the same size as those that travel as values.

``Decimal("1E+999999999")`` is a short text, and the first ``int()`` or format
of it takes all memory. Values are bounded as they are decoded; what a hint
makes of a text would not be.
"""

from __future__ import annotations

import re
from typing import Any

from codemode.values import MAX_DECIMAL_DIGITS, MAX_DECIMAL_EXPONENT

__all__ = ["oversized_decimal"]

# Possessive, so that a long text that is no number costs one pass.
_NUMBER = re.compile(r"\s*+[+-]?+([\d_]*+\.?+[\d_]*+)(?:[eE][+-]?+([\d_]++))?+\s*+")


def oversized_decimal(value: Any) -> str | None:
    """Return the first text within a value that is too large a number, or None."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if _is_oversized(one):
                return one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | set):
            waiting += one
    return None


def _is_oversized(text: str) -> bool:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return False
    exponent = (match[2] or "0").replace("_", "").lstrip("0") or "0"
    too_far = len(exponent) > 9 or int(exponent) > MAX_DECIMAL_EXPONENT
    return too_far or len(match[1]) > MAX_DECIMAL_DIGITS
