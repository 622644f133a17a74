"""The making of a Tool record from an object, once, at registration."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from codemode.errors.base import ToolRegistrationError
from codemode.tools.arguments import build_arguments
from codemode.tools.decorator import ToolOptions, inherited_options, options_of
from codemode.tools.docstring import argument_docs, first_paragraph
from codemode.tools.names import check_name, snake_case
from codemode.tools.signature import render_signature
from codemode.tools.tool import Tool

__all__ = [
    "check_permission",
    "default_name",
    "entered",
    "make_tool",
    "origin_of",
    "same_source",
]

_PLACEHOLDER = getattr(functools, "Placeholder", object())  # new in Python 3.14


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """The part of an object that runs, and the docstrings that describe it."""

    function: Callable[..., Any]
    wants_context: bool
    docs: tuple[str | None, ...]


def make_tool(name: str | None, obj: object) -> Tool:
    """Build the Tool record of a function, a method, an object or a class.

    An object needs ``run(**kwargs)``, ``run_with_context(context, **kwargs)``
    or ``__call__``; a class is instantiated without arguments. With ``name``
    None, the object's own name is used. Raises ToolRegistrationError, whose
    message names the fix.
    """
    if isinstance(obj, Tool):
        return obj if name is None else _renamed(obj, check_name(name))
    name = check_name(default_name(obj) if name is None else name)
    instance = _instance(name, obj) if isinstance(obj, type) else obj
    target = _target(name, instance)
    options = _options(name, obj, instance, target)
    plain = _plain_function(target.function)
    hints = _hints(name, plain)
    parameters = _parameters(name, target)
    reserved = _bound_names(target.function)
    if target.wants_context:
        reserved.add(parameters.pop(0).name)
    shown = {one.name: hints[one.name] for one in parameters if one.name in hints}
    if "return" in hints:
        shown["return"] = hints["return"]
    signature = render_signature(name, parameters, shown)
    documented = next((doc for doc in target.docs if doc), None)
    return Tool(
        name=name,
        description=options.description or first_paragraph(documented),
        signature=signature,
        positional_parameters=tuple(
            one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD
        ),
        asynchronous=inspect.iscoroutinefunction(entered(target.function)),
        thread_sensitive=options.thread_sensitive,
        wants_context=target.wants_context,
        permission=options.permission,
        function=target.function,
        arguments=build_arguments(
            tool_name=name,
            parameters=parameters,
            hints=shown,
            docs={key: text for doc in reversed(target.docs) for key, text in _docs(doc)},
            reserved=frozenset(reserved),
            signature=signature,
        ),
        returns=hints.get("return", Any),
        source=obj,
        origin=origin_of(obj),
        effects=options.effects,
        tags=options.tags,
    )


def default_name(obj: object) -> str:
    """Return the name of an object that is registered without one.

    Raises ToolRegistrationError when the object has no name.
    """
    if isinstance(obj, Tool):
        return obj.name
    options = options_of(obj)
    if options and options.name:
        return options.name
    while isinstance(obj, functools.partial):
        obj = obj.func
    if isinstance(obj, type):
        return snake_case(obj.__name__)
    if inspect.isroutine(obj):
        if obj.__name__ == "<lambda>":
            raise ToolRegistrationError("a lambda has no name; register it with one")
        return obj.__name__
    return snake_case(type(obj).__name__)


def same_source(one: object, other: object) -> bool:
    """Return whether two objects are the same tool.

    Bound methods are compared by equality, because each access makes a new one.
    """
    return one is other or (inspect.ismethod(one) and inspect.ismethod(other) and one == other)


def _renamed(tool: Tool, name: str) -> Tool:
    if name == tool.name:
        return tool
    signature = name + tool.signature.removeprefix(tool.name)
    arguments = replace(tool.arguments, signature=signature)
    return replace(tool, name=name, signature=signature, arguments=arguments)


def _instance(name: str, cls: type) -> object:
    try:
        return cls()
    except TypeError as error:
        raise ToolRegistrationError(
            f"tool {name!r}: the class {cls.__qualname__} cannot be instantiated without "
            f"arguments ({error}); register an instance of it"
        ) from error


def _target(name: str, obj: Any) -> _Target:
    with_context = getattr(obj, "run_with_context", None)
    run = getattr(obj, "run", None)
    for function, wants_context in ((with_context, True), (run, False)):
        if callable(function) and not inspect.isroutine(obj):
            docs = (_doc(function), _doc(type(obj)))
            return _Target(function=function, wants_context=wants_context, docs=docs)
    if inspect.isroutine(obj) or isinstance(obj, functools.partial):
        return _Target(function=obj, wants_context=False, docs=(_doc(obj),))
    if callable(obj):
        docs = (_doc(type(obj).__call__), _doc(type(obj)))
        return _Target(function=obj, wants_context=False, docs=docs)
    raise ToolRegistrationError(
        f"tool {name!r}: {type(obj).__name__} is neither a function nor an object with run() "
        "or run_with_context(); give it one of them"
    )


def _options(name: str, obj: object, instance: object, target: _Target) -> ToolOptions:
    """Return the @tool options of the object or of the method that runs; both are an error."""
    own = options_of(obj) or options_of(instance)
    method = options_of(target.function) if target.function is not instance else None
    if own and method:
        raise ToolRegistrationError(
            f"tool {name!r}: both the class and its method carry @tool; decorate one of them"
        )
    options = own or method or inherited_options(target.function) or ToolOptions()
    check_permission(name, options.permission)
    return options


def check_permission(name: str, permission: Any) -> None:
    """Refuse a permission that would refuse nobody, or that cannot be asked."""
    if isinstance(permission, Collection) and not permission:
        raise ToolRegistrationError(
            f"tool {name!r}: permission={permission!r} is empty and would refuse "
            "nobody; name the permission that the caller needs, or leave it out"
        )
    if inspect.iscoroutinefunction(permission):
        raise ToolRegistrationError(
            f"tool {name!r}: permission={permission!r} is asynchronous; "
            "make it a plain function, which may use the database"
        )


def _plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that has the type hints and the globals to resolve them."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not hasattr(function, "__wrapped__"):
        function = type(function).__call__
    plain: Callable[..., Any] = inspect.unwrap(
        function, stop=lambda one: hasattr(one, "__signature__")
    )
    return plain


def _hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolRegistrationError(
            f"tool {name!r}: its hints name {error.name!r}, which cannot be found in "
            f"{getattr(function, '__module__', None)}; import it there, and not only under "
            "TYPE_CHECKING"
        ) from error
    except TypeError as error:
        raise ToolRegistrationError(
            f"tool {name!r}: its hints cannot be read ({error}); correct or remove them"
        ) from error


def _parameters(name: str, target: _Target) -> list[inspect.Parameter]:
    first = entered(target.function)
    if inspect.isgeneratorfunction(first) or inspect.isasyncgenfunction(first):
        raise ToolRegistrationError(
            f"tool {name!r} is a generator, which cannot travel; return a list instead"
        )
    try:
        found = list(inspect.signature(target.function).parameters.values())
    except (ValueError, TypeError) as error:
        raise ToolRegistrationError(
            f"tool {name!r}: Python cannot find its parameters ({error}); "
            "wrap it in a function that names them"
        ) from error
    bound = _bound_names(target.function)
    found = [one for one in found if one.name not in bound]
    if target.wants_context and (not found or found[0].kind > inspect.Parameter.VAR_POSITIONAL):
        raise ToolRegistrationError(
            f"tool {name!r}: run_with_context() has no parameter for the context; write "
            "run_with_context(self, context, ...)"
        )
    for position, one in enumerate(found):
        context_itself = target.wants_context and position == 0
        if one.kind is one.VAR_POSITIONAL:
            raise ToolRegistrationError(
                f"tool {name!r} takes *{one.name}, but arguments travel by name; "
                f"write {one.name}: list instead"
            )
        if one.kind is one.POSITIONAL_ONLY and not context_itself:
            raise ToolRegistrationError(
                f"tool {name!r}: parameter {one.name!r} is positional-only, but arguments travel "
                "by name; remove the '/' or wrap it in a function"
            )
    return found


def _bound_names(function: Any) -> set[str]:
    """Return the parameters that partials have bound; no call may change them.

    Where the function has ``**kwargs``, a call could otherwise pass the name
    again, and a partial lets that value win.
    """
    bound: set[str] = set()
    while True:
        if isinstance(function, functools.partial):
            bound |= function.keywords.keys()
            taken = zip(inspect.signature(function.func).parameters, function.args, strict=False)
            bound.update(name for name, value in taken if value is not _PLACEHOLDER)
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isroutine(function) or not isinstance(function.__call__, functools.partial):
            return bound
        else:
            function = function.__call__


def entered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a call enters first, behind partials and ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.iscoroutinefunction(function):
        return function
    called: Callable[..., Any] = type(function).__call__
    return called


def _doc(obj: Any) -> str | None:
    while isinstance(obj, functools.partial):
        obj = obj.func
    return inspect.getdoc(obj)


def _docs(doc: str | None) -> list[tuple[str, str]]:
    return list(argument_docs(doc).items())


def origin_of(obj: Any) -> str:
    """Return the module and the qualified name of an object, or of its class."""
    while isinstance(obj, functools.partial):
        obj = obj.func
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    return f"{named.__module__}.{named.__qualname__}"
