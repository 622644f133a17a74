"""The objects that a process shares: one registry, one Codemode with its client."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.signals import setting_changed

from codemode.config import ClientConfig
from codemode.core.registry import ComponentRegistry
from codemode.errors import ConfigurationError
from django_codemode import conf
from django_codemode._requests.lazy_users import user_loader
from django_codemode.permissions import DjangoPermissionChecker

if TYPE_CHECKING:
    from codemode.core.codemode import Codemode
    from django_codemode.autodiscover import ToolProblem

__all__ = ["Shared", "get_codemode", "register_tool", "shared"]


class Shared:
    """The shared objects of a process, each built on first use.

    The registry survives ``override_settings`` and a fork, because the tools
    stay the same. The Codemode does not, because its client holds connections.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._pid = os.getpid()
        self.problems: tuple[ToolProblem, ...] = ()
        """Why modules or objects of the project gave no tool; set by the app's ``ready()``."""
        self.executor: Callable[[], str] | None = None
        """Returns the executor's address, in place of the setting; for the project's tests."""
        self._registry: ComponentRegistry | None = None
        self._codemode: Codemode | None = None
        self._searches = False  # by a setting
        self._inherited: list[Codemode] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    @property
    def registry(self) -> ComponentRegistry:
        """Return the registry; building it starts nothing and reads no setting."""
        with self._lock:
            if self._registry is None:
                self._registry = ComponentRegistry()
                self._registry.permission_checker = DjangoPermissionChecker()
                self._registry.context_loader = user_loader
            return self._registry

    @property
    def codemode(self) -> Codemode:
        """Return this process's Codemode.

        Raises ConfigurationError for a bad setting, and if tools are missing
        because a ``codemode_tools`` module is broken.
        """
        if self._pid != os.getpid():  # forked without Python's at-fork hooks
            self._forget()
        with self._lock:
            if self._codemode is None:
                codemode = _build_codemode(self.registry)
                self._set_search(conf.get_settings())
                self._codemode = codemode
            return self._codemode

    def _set_search(self, settings: conf.CodemodeSettings) -> None:
        """Apply the settings of the search; without them, one that a project has set stays."""
        wanted = settings.search is not None or bool(settings.search_synonyms)
        if wanted or self._searches:
            search = settings.search_function()
            self.registry.set_search(search, synonyms=settings.search_synonyms)
        self._searches = wanted

    def close(self) -> None:
        """Close the Codemode, if there is one; the next use builds another."""
        if self._pid != os.getpid():
            self._forget()
        with self._lock:
            codemode, self._codemode = self._codemode, None
        if codemode is not None:
            codemode.close()

    def _forget(self) -> None:
        # Another thread may have held the lock, and that thread does not exist here.
        self._lock = RLock()
        self._pid = os.getpid()
        if self._codemode is not None:
            # Kept, to be neither closed nor collected: its connections belong to the parent.
            self._inherited.append(self._codemode)
            self._codemode = None


shared = Shared()


def get_codemode() -> Codemode:
    """Return the process's shared Codemode, built on first use.

    Raises ConfigurationError if the ``CODEMODE`` setting is wrong, or a
    ``codemode_tools`` module could not be loaded. The Codemode need not be
    closed: ``override_settings`` and the end of the process close it.
    """
    return shared.codemode


def register_tool(name: str | None, tool: object, *, overwrite: bool = False) -> None:
    """Register a tool with the shared registry, at any time and from any thread.

    ``name=None`` takes the tool's own name. Raises ToolRegistrationError.
    Starts nothing, so any app may call this function in its ``ready()``, in any order.
    """
    shared.registry.register_tool(name, tool, overwrite=overwrite)


def _build_codemode(registry: ComponentRegistry) -> Codemode:
    # Imported on first use: gRPC takes long to import, and most commands do not need it.
    from codemode.core.codemode import Codemode

    if not apps.is_installed("django_codemode"):
        raise ConfigurationError(
            "django_codemode is not installed, so that no tool was found; "
            "add 'django_codemode' to INSTALLED_APPS"
        )
    if shared.problems:
        raise ConfigurationError(
            "tools of this project cannot be loaded, so that no code is executed: "
            + "; ".join(map(str, shared.problems))
        )
    settings = conf.get_settings()
    config = settings.client_config()
    if shared.executor is not None:
        config = ClientConfig(
            executor_url=shared.executor(), limits=config.limits, profile=config.profile
        )
    return Codemode.from_client_config(
        config, registry=registry, fairness_key=settings.fairness_key_of
    )


def _on_setting_changed(*, setting: str, **_kwargs: Any) -> None:
    if setting in {"CACHES", "CODEMODE", "SECRET_KEY"}:
        conf.get_settings.cache_clear()
    if setting in {"CODEMODE", "SECRET_KEY"}:
        shared.close()


setting_changed.connect(_on_setting_changed, dispatch_uid="django_codemode.setting_changed")
