"""The app configuration: tool discovery, system checks and the shared objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.utils.autoreload import autoreload_started
from django.utils.translation import gettext_lazy as _

from codemode.core.registry import ComponentRegistry
from django_codemode.shared import shared

if TYPE_CHECKING:
    from codemode.core.client import ExecutorClient
    from codemode.core.codemode import Codemode

__all__ = ["CodemodeConfig"]


class CodemodeConfig(AppConfig):
    """App configuration that registers the tools of all installed apps.

    The tools come from the apps' ``codemode_tools`` modules. ``codemode``,
    ``registry`` and ``client`` are the objects that the process shares; each is
    built on first use.
    """

    name = "django_codemode"
    verbose_name = _("Codemode")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Find the tools and register the checks.

        Opens no connection, starts no process and makes no query.
        """
        # Models must not be imported before the apps are ready.
        from django_codemode.autodiscover import autodiscover, watch
        from django_codemode.checks import register_checks
        from django_codemode.database import (
            close_connections,
            register_converters,
            release_connections,
        )

        register_checks()
        register_converters()
        extensions = self.registry.extensions
        if release_connections not in extensions.pool_housekeeping:
            extensions.pool_housekeeping.append(release_connections)
            extensions.thread_finalizers.append(close_connections)
        shared.problems = problems = autodiscover(self.registry)
        if problems:
            autoreload_started.connect(
                lambda sender, **_kwargs: watch(sender, problems),
                weak=False,
                dispatch_uid="django_codemode.watch",
            )

    @property
    def codemode(self) -> Codemode:
        """Return the process's Codemode. Raises ConfigurationError for a bad setting."""
        return shared.codemode

    @property
    def registry(self) -> ComponentRegistry:
        """Return the registry of the project's tools."""
        return shared.registry

    @property
    def client(self) -> ExecutorClient:
        """Return the Codemode's client. Raises ConfigurationError for a bad setting."""
        return shared.codemode.client
