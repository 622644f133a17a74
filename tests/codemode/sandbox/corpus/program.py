"""One program of the corpus: what a model might write, and what has to come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Program"]


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its name, its code and its value."""

    name: str
    code: str
    value: Any = True
