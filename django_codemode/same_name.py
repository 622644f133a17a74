"""The check for another distribution whose package is also named ``codemode``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Warning

__all__ = ["check_same_name", "refuse_other_package"]


def refuse_other_package() -> None:
    """Raise ImportError if ``codemode`` is not the package that this app belongs to."""
    try:
        from codemode.installed import refuse_mixture
    except ImportError as error:
        raise ImportError(
            "the package codemode that is imported here is not that of django-codemode; uninstall "
            "the other distribution, such as opencodemode, and reinstall django-codemode"
        ) from error
    refuse_mixture()


def check_same_name(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Report another package of the same name elsewhere on the path (W018)."""
    from codemode.installed import OTHER, other_package

    if (folder := other_package()) is None:
        return []
    return [
        Warning(
            f"{OTHER} is installed as well and has a package codemode too, in {folder}: which of "
            "the two is imported depends on the order of sys.path.",
            hint=f"Uninstall {OTHER}, or install it in a separate environment.",
            id="django_codemode.W018",
        )
    ]
