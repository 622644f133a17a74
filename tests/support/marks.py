"""Marks for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["deep_except"]


def deep_except(values: Iterable[Any], *everyday: Any) -> list[Any]:
    """Return parameters of a test; all but the given ones are left to the deep tests.

    Raises ValueError when a given one is not a parameter.
    """
    values = list(values)
    if unknown := [value for value in everyday if value not in values]:
        raise ValueError(f"{unknown} are not among {values}")
    return [
        value if value in everyday else pytest.param(value, marks=pytest.mark.deep)
        for value in values
    ]
