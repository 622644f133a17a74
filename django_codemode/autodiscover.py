"""Finding the tools of the installed apps."""

from __future__ import annotations

import sys

from django.apps import apps
from django.utils.module_loading import autodiscover_modules

from codemode.core.registry import ComponentRegistry

__all__ = ["MODULE_NAME", "autodiscover"]

MODULE_NAME = "codemode_tools"


def autodiscover(registry: ComponentRegistry) -> None:
    """Register each object that ``@tool`` decorates in the ``codemode_tools`` modules.

    Only objects in a module's own namespace are looked at; one that several
    modules import is one tool. Raises ToolRegistrationError, and whatever the
    import of such a module raises.
    """
    autodiscover_modules(MODULE_NAME)
    for app in apps.get_app_configs():
        module = sys.modules.get(f"{app.name}.{MODULE_NAME}")
        for candidate in list(vars(module).values()) if module else ():
            if _is_decorated(candidate):
                registry.register_tool(None, candidate)


def _is_decorated(candidate: object) -> bool:
    # Its own mark counts, not one inherited from a decorated class. Looking into
    # the object's dict also leaves lazy objects of Django unevaluated.
    try:
        return "__codemode_tool__" in vars(candidate)
    except TypeError:  # A number, a text: it has no attributes of its own.
        return False
