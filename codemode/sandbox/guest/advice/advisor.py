"""Advice on exceptions: what to write instead, where the repair is certain."""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, TypeGuard

from codemode.sandbox.guest.advice import (
    asynchronous,
    conversions,
    names,
    operations,
    records,
    surroundings,
)
from codemode.sandbox.guest.advice.scene import Scene, name_of_type
from codemode.sandbox.guest.advice.texts import is_exactly, said
from codemode.sandbox.guest.tools.toolbox import Tools

__all__ = ["Advisor"]

Rule = Callable[[Any, Scene, Tools], str]

_EXCEPTIONS_VISITED = 20
_add_note = BaseException.add_note
_ADVICE_CHARACTERS = 1_000
_SHOWN_OF_GROUP = 3

# By the identity of the type: a lookup would ask the metaclass of the code's own exceptions.
_RULES: Final = MappingProxyType[type[BaseException], tuple[Rule, ...]](
    {
        AttributeError: (
            asynchronous.attribute,
            names.hidden,
            records.attribute,
            names.attribute,
            operations.method,
        ),
        ImportError: (surroundings.memory,),
        IndexError: (operations.index,),
        KeyError: (records.key,),
        ModuleNotFoundError: (names.module,),
        NameError: (names.name,),
        RuntimeError: (asynchronous.loop, surroundings.threads, operations.runtime),
        StopIteration: (operations.nothing_left,),
        TypeError: (
            asynchronous.not_coroutine,
            asynchronous.unawaited,
            asynchronous.not_awaitable,
            names.called,
            records.operand,
            operations.types,
            conversions.types,
        ),
        UnboundLocalError: (names.unbound,),
        ValueError: (asynchronous.not_coroutine, operations.values, conversions.values),
    }
)


_OTHERS: Final[tuple[Rule, ...]] = (conversions.library, surroundings.system)


class Advisor:
    """A finder of repairs, for exceptions that ended the code or one of its threads."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def advise(self, error: BaseException) -> str:
        """Return the repair and add it to the exception as a note; "" where none is certain.

        Each exception in a group gets a note of its own, and the first ones are
        named in the text. Called before frames are removed from the traceback.
        """
        if not _is_group(error):
            return self._note(error)
        lines: list[str] = []
        for one in _exceptions(error):
            advice = self._note(one)
            if len(lines) < _SHOWN_OF_GROUP:
                text = f"{name_of_type(one)}: {_said(one)}"
                lines.append(f"{text}\n{advice}" if advice else text)
        return "\n".join(lines)

    def explain_name(self, error: NameError) -> str:
        """Return the message on a name that nothing defines, with the repair if one is certain."""
        try:
            advice = names.undefined(str(error.name), self._tools)[:_ADVICE_CHARACTERS]
        except Exception:  # noqa: BLE001  # as below
            advice = ""
        return f"{error}\n{advice}" if advice else str(error)

    def _note(self, error: BaseException) -> str:
        try:
            advice = self._advice(error)[:_ADVICE_CHARACTERS]
            if advice:
                _add_note(error, advice)
        except Exception:  # noqa: BLE001  # such as lack of memory: the report goes on without it
            return ""
        return advice

    def _advice(self, error: BaseException) -> str:
        if is_exactly(error, SyntaxError, IndentationError, TabError):
            assert isinstance(error, SyntaxError)
            own = type(error.filename) is str and error.filename.startswith("<code")
            return names.syntax(error) if own else ""
        scene = Scene.of(error, self._tools)
        if scene is None or isinstance(scene.node, ast.Raise):
            return ""
        if type(error) is AttributeError and not scene.direct:
            return ""
        rules = [rules for kind, rules in _RULES.items() if kind is type(error)]
        for rule in rules[0] if rules else _OTHERS:
            advice = rule(error, scene, self._tools)
            if advice:
                return advice
        return ""


def _said(error: BaseException) -> str:
    text = said(error)
    return repr(text) if type(error) is KeyError else text


def _is_group(error: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return is_exactly(error, ExceptionGroup, BaseExceptionGroup)


def _exceptions(group: BaseException) -> list[BaseException]:
    """Return the exceptions in a group and in its groups, at most 20."""
    waiting = [group]
    found: list[BaseException] = []
    for _ in range(_EXCEPTIONS_VISITED):
        if not waiting:
            break
        one = waiting.pop(0)
        if _is_group(one):
            waiting += islice(one.exceptions, _EXCEPTIONS_VISITED)
        else:
            found.append(one)
    return found
