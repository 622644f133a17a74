"""The packages of each profile, which an executor installs and the instructions name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PACKAGES_OF_PROFILES"]

PACKAGES_OF_PROFILES: Final[Mapping[str, tuple[str, ...]]] = {
    "default": (),
    "data": ("numpy", "pandas"),
}
