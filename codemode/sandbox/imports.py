"""Imports of the installed packages that sandboxed code may use."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["expose"]


def expose(packages: Mapping[str, Any]) -> None:
    """Make packages importable: all of ``folders``, and of ``sites`` only the ``names``."""
    sys.path += packages["folders"]
    if packages["names"]:
        sys.meta_path.append(_NamedPackages(packages["names"], packages["sites"]))


class _NamedPackages:
    """Find a few packages in folders whose others do not exist for the code.

    These folders are not on ``sys.path``: where Landlock alone guards them the
    code cannot list them, and an import of another package would fail by
    PermissionError instead of ModuleNotFoundError.
    """

    def __init__(self, names: Iterable[str], folders: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._folders = folders
        # Lists the folders while that is allowed; the importers keep what they saw.
        PathFinder.find_spec("", folders)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and name in self._names:
            return PathFinder.find_spec(name, self._folders, target)
        return None
