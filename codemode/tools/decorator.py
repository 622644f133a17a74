"""The mark that makes an object a tool."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args, overload

from codemode._suggestions import did_you_mean
from codemode.errors.base import ToolRegistrationError

__all__ = [
    "MARK",
    "Effects",
    "ToolOptions",
    "checked_effects",
    "checked_tags",
    "inherited_options",
    "options_of",
    "tool",
]

MARK = "__codemode_tool__"

Effects = Literal["reads", "database", "external"]
"""What a call does: only reads, writes to the project's databases, or acts outside of them."""


class _Mark(Protocol):
    def __call__[T](self, obj: T, /) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """The arguments of ``@tool``, which registration reads."""

    name: str | None = None
    description: str | None = None
    permission: Any = None
    thread_sensitive: bool = True
    effects: Effects | None = None
    tags: tuple[str, ...] = ()


@overload
def tool[T](obj: T, /) -> T: ...


@overload
def tool(
    obj: None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    permission: Any = None,
    thread_sensitive: bool = True,
    effects: Effects | None = None,
    tags: Iterable[str] = (),
) -> _Mark: ...


def tool(
    obj: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    permission: Any = None,
    thread_sensitive: bool = True,
    effects: Effects | None = None,
    tags: Iterable[str] = (),
) -> Any:
    """Mark a function, method or class as a tool and return it unchanged.

    Use it bare or with arguments. ``name`` defaults to the name of the
    function, or to that of the class in snake case without a final ``Tool``;
    ``description`` defaults to the first paragraph of the docstring.
    ``permission`` is what the caller must have, in terms of the registry's
    permission checker. ``thread_sensitive=False`` lets a sync tool run in a
    pool of threads, several at once, away from the caller's thread and database
    connection. ``effects`` is what a call does: ``"reads"`` changes nothing,
    ``"database"`` writes to the project's databases and nowhere else,
    ``"external"`` acts outside of them; None says nothing, so that a call may
    write. ``tags`` are more words by which a search finds the tool. A class is
    instantiated once, without arguments, when it is registered. Raises
    ToolRegistrationError.
    """
    if isinstance(obj, str):
        raise ToolRegistrationError(
            f"@tool({obj!r}) gives the name by position; write @tool(name={obj!r})"
        )
    options = ToolOptions(
        name=name,
        description=description,
        permission=permission,
        thread_sensitive=thread_sensitive,
        effects=checked_effects("@tool", effects),
        tags=checked_tags("@tool", tags),
    )
    if obj is None:
        return functools.partial(_mark, options)
    return _mark(options, obj)


def options_of(obj: object) -> ToolOptions | None:
    """Return the options that ``@tool`` left on an object, or None.

    A subclass or a partial inherits all options except name and description,
    so that a permission is never lost.
    """
    inherited = False
    while isinstance(obj, functools.partial):
        obj, inherited = obj.func, True
    options = getattr(obj, MARK, None)
    if not isinstance(options, ToolOptions):
        return None
    owner = obj if isinstance(obj, type) else type(obj)
    if not inspect.isroutine(obj) and MARK not in vars(owner):
        inherited = inherited or MARK not in getattr(obj, "__dict__", {})
    return replace(options, name=None, description=None) if inherited else options


def inherited_options(function: object) -> ToolOptions | None:
    """Return the options that an unmarked method inherits, or None.

    These are the options of the method that it overrides, else those of its
    object or class, without name and description.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.ismethod(function):
        return None
    owner = function.__self__
    classes = owner.__mro__ if isinstance(owner, type) else type(owner).__mro__
    overridden = (vars(one).get(getattr(function, "__name__", "")) for one in classes)
    for one in (*(getattr(method, "__func__", method) for method in overridden), owner):
        options = getattr(one, MARK, None)
        if isinstance(options, ToolOptions):
            return replace(options, name=None, description=None)
    return None


def checked_effects(subject: str, effects: Any) -> Effects | None:
    """Return the effects that ``subject`` gives; raise ToolRegistrationError for others."""
    known = get_args(Effects)
    if effects is None or effects in known:
        checked: Effects | None = effects
        return checked
    expected = f"expected one of {', '.join(map(repr, known))}"
    hint = did_you_mean(effects, known) if isinstance(effects, str) else ""
    raise ToolRegistrationError(f"{subject} has effects={effects!r}; {expected}{hint}")


def checked_tags(subject: str, tags: Any) -> tuple[str, ...]:
    """Return the tags that ``subject`` gives; raise ToolRegistrationError for what are none."""
    if isinstance(tags, str):
        raise ToolRegistrationError(
            f"{subject} has tags={tags!r}, one text; write tags=({tags!r},)"
        )
    checked = tuple(tags) if isinstance(tags, Iterable) else (tags,)
    for tag in checked:
        if not isinstance(tag, str) or not tag.strip():
            raise ToolRegistrationError(
                f"{subject} has tags={tags!r}; expected words such as ('refund', 'money')"
            )
    return checked


def _mark(options: ToolOptions, obj: Any) -> Any:
    target = obj.__func__ if isinstance(obj, staticmethod | classmethod) else obj
    if not callable(target) and not hasattr(target, "run"):
        raise ToolRegistrationError(
            f"@tool cannot mark {obj!r}; expected a function, a method or a class with run()"
        )
    try:
        setattr(target, MARK, options)
    except (AttributeError, TypeError) as error:
        raise ToolRegistrationError(
            f"@tool cannot mark {obj!r}, which cannot carry attributes; wrap it in a function"
        ) from error
    return obj
