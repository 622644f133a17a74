"""System checks of the tools: broken modules, missing tools, and details that a model lacks."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from textwrap import indent
from types import ModuleType
from typing import Any, get_args

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings as django_settings
from django.contrib.auth import get_permission_codename
from django.core.checks import CheckMessage, Error, Info, Warning
from django.db.models import Model
from django.utils.module_loading import import_string

from codemode._suggestions import near_names
from codemode.tools import Tool
from django_codemode.autodiscover import MODULE_NAME, is_decorated
from django_codemode.shared import shared

__all__ = ["FIRST_TOOL", "broken_tools", "check_tools", "gaps", "where_tools_go"]

FIRST_TOOL = '''\
from django.contrib.auth import get_user_model

from codemode import tool


@tool
def count_users(active: bool = True) -> int:
    """Count the users of this project."""
    return get_user_model().objects.filter(is_active=active).count()
'''
"""A module with a first tool, to paste."""


def check_tools(
    *, app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Report broken modules (E005) and tools (E006), decorators without effect, and gaps.

    A project without any tool is shown how to write the first (I001).
    """
    found = broken_tools()
    tools = shared.registry.tools.values()
    if not found and not tools:
        found.append(
            Info(
                "The project has no tool, so that executed code can call nothing of it.",
                hint=f"{where_tools_go()} A first tool to paste:\n\n{indent(FIRST_TOOL, ' ' * 8)}",
                id="django_codemode.I001",
            )
        )
    for module in _modules():
        found += _without_tools(module, tools)
        found += _methods_without_effect(module, tools)
    for tool in tools:
        found += gaps(tool)
    return found


def broken_tools() -> list[CheckMessage]:
    """Return an error for each module or object that gave no tool."""
    return [
        Error(
            str(problem),
            hint="Fix the error. Until then the project executes no code.",
            id="django_codemode.E005" if problem.of_import else "django_codemode.E006",
        )
        for problem in shared.problems
    ]


def gaps(tool: Tool) -> Iterator[CheckMessage]:
    """Yield a warning for each detail that a model lacks, and for unknown permissions."""
    signature = inspect.signature(tool.function)
    parameters = list(signature.parameters.values())
    if tool.wants_context:
        del parameters[0]
    untyped = [one.name for one in parameters if one.annotation is one.empty]
    if untyped:
        yield Warning(
            f"Tool {tool.name!r}: {', '.join(untyped)} without a type, so that arguments are not "
            "checked and a model has to guess.",
            hint="Annotate the parameters.",
            obj=tool.origin,
            id="django_codemode.W003",
        )
    if signature.return_annotation is inspect.Signature.empty:
        yield Warning(
            f"Tool {tool.name!r} has no return type, so a model does not know what the tool "
            "returns.",
            hint="Annotate what it returns, such as -> list[dict[str, str]].",
            obj=tool.origin,
            id="django_codemode.W004",
        )
    if models := _models_in(tool.returns):
        yield Warning(
            f"Tool {tool.name!r} is annotated to return {models}, and an instance of a model "
            "cannot travel.",
            hint="Return .values('id', …) of a QuerySet, or a dict, and annotate that.",
            obj=tool.origin,
            id="django_codemode.W014",
        )
    for name, parameter in tool.arguments.parameters.items():
        if models := _models_in(parameter.hint):
            yield Warning(
                f"Tool {tool.name!r}: {name} is annotated as {models}, and code has no instance of "
                "a model to give.",
                hint="Take the primary key, and get the instance in the tool.",
                obj=tool.origin,
                id="django_codemode.W014",
            )
    if tool.arguments.schema is None:
        yield from _alike_records(tool)
    if not tool.description:
        yield Warning(
            f"Tool {tool.name!r} has no description: a model has nothing but its name to go by.",
            hint="Give it a docstring, or @tool a description.",
            obj=tool.origin,
            id="django_codemode.W006",
        )
    for permission in _unknown_permissions(tool):
        near = near_names(permission, _known_permissions())
        yield Warning(
            f"Tool {tool.name!r} needs {permission!r}, which no model of the project has: only "
            "superusers may call it.",
            hint=f"Did you mean {near[0]!r}?"
            if near
            else "Correct it, or add it to the Meta.permissions of a model.",
            obj=tool.origin,
            id="django_codemode.W010",
        )


def _alike_records(tool: Tool) -> Iterator[CheckMessage]:
    """Warn of records that contain themselves and that no key or tag tells apart."""
    for name, parameter in tool.arguments.parameters.items():
        if parameter.alike is None:
            continue
        one, other = parameter.alike
        yield Warning(
            f"Tool {tool.name!r}: in {name}, {one} and {other} contain themselves and may take "
            "the same dict, so that a nested value may be refused as too costly to check.",
            hint="Give each a required field that tells it apart, such as "
            f"kind: Literal[{one.lower()!r}].",
            obj=tool.origin,
            id="django_codemode.W020",
        )


def _models_in(hint: Any) -> str:
    """Return the names of the models in a type such as ``list[Order] | None``."""
    if isinstance(hint, type) and issubclass(hint, Model):
        return hint.__name__
    return ", ".join(dict.fromkeys(filter(None, map(_models_in, get_args(hint)))))


def where_tools_go() -> str:
    """Return advice for a project that has no tools."""
    ours = [one.name for one in apps.get_app_configs() if not one.name.startswith("django")]
    example = f", such as {ours[0].replace('.', '/')}/{MODULE_NAME}.py" if ours else ""
    return (
        f"Decorate functions by codemode.tool in the module {MODULE_NAME} of an installed app"
        f"{example}, or call django_codemode.register_tool() in the ready() of an AppConfig."
    )


def _without_tools(module: ModuleType, tools: Collection[Tool]) -> Iterator[CheckMessage]:
    """Warn of a module without tools, such as when the decorator was forgotten."""
    homes = {getattr(_plain(tool.source), "__module__", None) for tool in tools}
    if module.__name__ in homes or any(map(is_decorated, vars(module).values())):
        return
    yield Warning(
        f"{module.__name__} gives no tool: nothing in it is decorated by @tool.",
        hint=where_tools_go(),
        obj=module.__name__,
        id="django_codemode.W015",
    )


def _methods_without_effect(module: ModuleType, tools: Collection[Tool]) -> Iterator[CheckMessage]:
    known = {id(_plain(tool.source)) for tool in tools}
    for kind in vars(module).values():
        if not inspect.isclass(kind) or kind.__module__ != module.__name__:
            continue
        for name, member in vars(kind).items():
            function = _plain(member)
            is_marked = "__codemode_tool__" in getattr(function, "__dict__", {})
            if not is_marked or id(function) in known or "__codemode_tool__" in vars(kind):
                continue
            yield Warning(
                f"@tool on {kind.__qualname__}.{name} registers nothing: only decorated objects in "
                "the module itself are found, and a method belongs to some instance.",
                hint=f"Decorate the class, whose run() is then the tool, or register the method of "
                f"an instance: register_tool(None, {kind.__name__}(…).{name}).",
                obj=f"{module.__name__}.{kind.__qualname__}.{name}",
                id="django_codemode.W016",
            )


def _modules() -> list[ModuleType]:
    """Return the ``codemode_tools`` modules that were found and could be imported."""
    names = [f"{one.name}.{MODULE_NAME}" for one in apps.get_app_configs()]
    return [sys.modules[name] for name in names if name in sys.modules]


def _plain(member: Any) -> Any:
    """Return the function of a bound, static or class method."""
    return getattr(member, "__func__", member)


def _unknown_permissions(tool: Tool) -> list[str]:
    permission = tool.permission
    if permission is None or callable(permission) or not _permissions_are_of_models():
        return []
    needed = [permission] if isinstance(permission, str) else permission
    return [one for one in needed if one not in _known_permissions()]


def _permissions_are_of_models() -> bool:
    """Return whether all backends derive from Django's, whose permissions are those of models."""
    if not apps.is_installed("django.contrib.auth"):
        return False
    from django.contrib.auth.backends import ModelBackend  # imports models of that app

    with suppress(ImportError):
        backends = [import_string(path) for path in django_settings.AUTHENTICATION_BACKENDS]
        return all(issubclass(backend, ModelBackend) for backend in backends)
    return False


def _known_permissions() -> set[str]:
    return {
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        for codename in (
            *(get_permission_codename(one, model._meta) for one in model._meta.default_permissions),
            *(codename for codename, _name in model._meta.permissions),
        )
    }
