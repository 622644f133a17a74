"""Imports of the installed packages that executed code may use."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["expose"]


def expose(packages: Mapping[str, Any]) -> None:
    """Make packages importable: all in ``folders``, but only ``names`` in ``sites``."""
    sys.path += packages["folders"]
    if packages["names"]:
        sys.meta_path.append(_NamedPackages(packages["names"], packages["sites"]))


class _NamedPackages:
    """A finder of a few named packages, in folders whose other packages are hidden from the code.

    These folders are not on ``sys.path``. When only Landlock guards them, the
    code cannot list them: an import of another package would fail with
    PermissionError instead of ModuleNotFoundError.
    """

    def __init__(self, names: Iterable[str], folders: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._folders = folders
        # Lists the folders while that is still allowed; the importers cache the listing.
        PathFinder.find_spec("", folders)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and name in self._names:
            return PathFinder.find_spec(name, self._folders, target)
        return None
