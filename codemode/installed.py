"""A check for the other distribution that has a package named ``codemode``.

Two distributions with the same package overwrite each other's files, in the
order in which they are installed, and no installer notices.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

__all__ = ["OTHER", "other_package", "refuse_mixture"]

OTHER = "opencodemode"
"""The distribution on PyPI that has a package of the same name."""


def other_package() -> Path | None:
    """Return the folder of the other distribution's package, or None when it is not installed."""
    try:
        found = distribution(OTHER)
    except PackageNotFoundError:
        return None
    return Path(str(found.locate_file("codemode")))


def refuse_mixture() -> None:
    """Raise ImportError when this folder has files of both distributions."""
    folder = Path(__file__).parent
    other = other_package()
    if other is not None and other.resolve() == folder.resolve():
        raise ImportError(
            f"{folder} has files of two distributions, django-codemode and {OTHER}, which cannot "
            f"be in the same environment; uninstall {OTHER}, and reinstall django-codemode to get "
            "back the files that both have"
        )
