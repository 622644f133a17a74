"""Imports of the installed packages that executed code may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from itertools import islice
from types import ModuleType
from typing import Any

__all__ = ["INSTALLED", "expose"]

INSTALLED: list[str] = []
"""The importable packages beside the standard library, in alphabetical order."""

_MOST_LISTED = 1_000


def expose(packages: Mapping[str, Any]) -> None:
    """Make packages importable: all in ``folders``, but only ``names`` in ``sites``."""
    sys.path += packages["folders"]
    if packages["names"]:
        sys.meta_path.append(_NamedPackages(packages["names"], packages["sites"]))
    found = set(packages["names"])
    for folder in packages["folders"]:
        found |= _modules_in(folder)
    INSTALLED[:] = sorted(name for name in found if name.isidentifier() and name[0] != "_")


def _modules_in(folder: str) -> set[str]:
    """Return the names of the packages and modules in a folder like site-packages."""
    names = (one.name for one in islice(os.scandir(folder), _MOST_LISTED))
    return {name.partition(".")[0] for name in names if not name.endswith("-info")}


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
