"""The installed packages that sandboxes may import, and the files of these packages."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from codemode.errors.base import ConfigurationError

__all__ = ["NOTHING", "Packages", "check_folder", "installed"]

_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NOT_EXPOSED = (".dist-info", ".egg-info", ".pth", ".data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """The installed packages that a sandbox can read and import.

    ``folders`` are exposed whole and imported from like site-packages. Of the
    ``sites`` only ``parts`` are exposed, and only the top-level ``names`` can be
    imported from them.
    """

    folders: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def exposed(self) -> tuple[str, ...]:
        """Return every path that sandboxes may read."""
        return (*self.folders, *self.parts)


NOTHING = Packages()


def installed(distributions: Iterable[str], folders: Iterable[Path] = ()) -> Packages:
    """Find the files of distributions and of their requirements; add whole folders.

    Raises importlib.metadata.PackageNotFoundError when one of them is missing.
    """
    sites: set[str] = set()
    parts: set[str] = set()
    names: set[str] = set()
    for distribution in _closure(distributions):
        site = os.path.abspath(str(distribution.locate_file("")))
        sites.add(site)
        for top in _top_entries(distribution):
            if os.path.exists(path := os.path.join(site, top)):
                parts.add(path)
                names.add(top.partition(".")[0])
    return Packages(
        folders=tuple(str(folder) for folder in folders),
        sites=tuple(sorted(sites)),
        parts=tuple(sorted(parts)),
        names=tuple(sorted(names)),
    )


def check_folder(folder: Path) -> Path:
    """Return the folder behind all links, if it may be exposed to sandboxed code.

    Raises ConfigurationError otherwise.
    """
    if not folder.is_absolute() or not folder.is_dir():
        raise ConfigurationError(
            f"packages: {str(folder)!r} is not a folder; expected the absolute path of one with "
            "importable packages, such as `pip install --target` makes it"
        )
    resolved = folder.resolve()
    if resolved == Path("/") or (folder / "manage.py").exists():
        raise ConfigurationError(
            f"packages: {str(folder)!r} holds more than packages, and sandboxed code reads all of "
            "it; expected a folder made for it, such as `pip install --target` makes it"
        )
    return resolved


def _closure(names: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """Return distributions with all their installed requirements, direct and indirect."""
    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = [(name, True) for name in names]
    while wanted:
        name, required = wanted.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            found[key] = distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            # Perhaps required only on other systems; if it is really needed, the import fails.
            if required:
                raise
            continue
        wanted.extend(
            (match[0], False)
            for requirement in distribution.requires or ()
            if "extra ==" not in requirement and (match := _REQUIREMENT_NAME.match(requirement))
        )
    return list(found.values())


def _top_entries(distribution: importlib.metadata.Distribution) -> set[str]:
    """Return the files and folders of a distribution, as its site-packages lists them."""
    if distribution.files is None:
        # Packages of a Linux distribution come without a list of their files.
        listed = distribution.read_text("top_level.txt")
        modules = (listed or distribution.metadata["Name"]).split()
        return {entry for module in modules for entry in (module, f"{module}.py")}
    tops = {file.parts[0] for file in distribution.files}
    return {
        top
        for top in tops
        if top not in ("..", "/", "__pycache__") and not top.endswith(_NOT_EXPOSED)
    }
