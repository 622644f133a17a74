"""Discovery of the tools in the installed apps."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from codemode.core.registry import ComponentRegistry
from codemode.errors import ToolRegistrationError

__all__ = ["MODULE_NAME", "ToolProblem", "autodiscover", "is_decorated", "watch"]

MODULE_NAME = "codemode_tools"

logger = logging.getLogger("django_codemode")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolProblem:
    """The reason why a module, or an object in it, gives no tool."""

    module: str
    error: Exception

    @property
    def of_import(self) -> bool:
        """Whether the import of the whole module failed, not just one of its tools."""
        return not isinstance(self.error, ToolRegistrationError)

    @property
    def places(self) -> list[tuple[Path, int]]:
        """The files and lines that the traceback of the failure names, most recent last."""
        frames = traceback.extract_tb(self.error.__traceback__)
        places = [(frame.filename, frame.lineno or 0) for frame in frames]
        if isinstance(self.error, SyntaxError) and self.error.filename:
            places.append((self.error.filename, self.error.lineno or 0))
        return [(Path(name), line) for name, line in places if Path(name).is_file()]

    def __str__(self) -> str:
        if not self.of_import:
            return f"{self.module}: {self.error}"
        reason = traceback.format_exception_only(self.error)[-1].strip()
        place = "".join(f" ({file}, line {line})" for file, line in self.places[-1:])
        return f"{self.module} cannot be imported: {reason}{place}"


def autodiscover(registry: ComponentRegistry) -> tuple[ToolProblem, ...]:
    """Register each object that ``@tool`` decorates in the ``codemode_tools`` modules.

    Only a module's own namespace is searched. An object that several modules
    import is one tool. Problems are logged and returned: a broken module must
    not block the ``manage.py`` commands that help to repair it.
    """
    problems = []
    for app in apps.get_app_configs():
        if app.module is None or not module_has_submodule(app.module, MODULE_NAME):
            continue
        name = f"{app.name}.{MODULE_NAME}"
        try:
            found = list(vars(import_module(name)).values())
        except Exception as error:  # noqa: BLE001  # any error is returned and logged
            problems.append(ToolProblem(module=name, error=error))
            continue
        for candidate in filter(is_decorated, found):
            try:
                registry.register_tool(None, candidate)
            except ToolRegistrationError as error:
                problems.append(ToolProblem(module=name, error=error))
    for problem in problems:
        logger.error("No tool: %s", problem, exc_info=problem.error)
    return tuple(problems)


def watch(reloader: Any, problems: tuple[ToolProblem, ...]) -> None:
    """Make runserver's reloader watch the files that caused problems."""
    for problem in problems:
        for file in {file for file, _line in problem.places}:
            reloader.watch_dir(file.parent, file.name)


def is_decorated(candidate: object) -> bool:
    """Return whether ``@tool`` decorates an object of a module."""
    # Only the object's own mark counts, not one inherited from a decorated class.
    # Reading the object's dict also leaves Django's lazy objects unevaluated.
    try:
        return "__codemode_tool__" in vars(candidate)
    except TypeError:  # it has no __dict__, such as a number or a string
        return False
