"""Signatures of tools, parsed from their text."""

from __future__ import annotations

import ast
import inspect
from typing import Any

__all__ = ["ToolSignature", "signature_of"]


class ToolSignature(inspect.Signature):
    """A signature that is parsed when it is first looked at.

    ``inspect`` wants the object itself: it no longer calls a function that returns it.
    """

    __slots__ = ("_source",)

    def __init__(self, source: str) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the base class that is not set yet."""
        if name not in inspect.Signature.__slots__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        parsed = signature_of(self._source)
        for slot in inspect.Signature.__slots__:
            setattr(self, slot, getattr(parsed, slot))
        return getattr(self, name)

    def replace(self, **changes: Any) -> Any:
        """Return an ordinary signature with the changes."""
        return signature_of(self._source).replace(**changes)

    __replace__ = replace

    def __reduce__(self) -> tuple[Any, ...]:
        return signature_of, (self._source,)

    def __repr__(self) -> str:
        return repr(signature_of(self._source))


def signature_of(text: str) -> inspect.Signature:
    """Return the signature written as ``orders.get(order_id: int) -> Order``.

    Annotations stay text, as do defaults that are not literals. Raises ValueError.
    """
    start = text.find("(")
    try:
        (function,) = ast.parse(f"def _{text[start:]}: pass").body
    except SyntaxError:
        raise ValueError(f"no signature found in {text!r}") from None
    if start < 0 or not isinstance(function, ast.FunctionDef):
        raise ValueError(f"no signature found in {text!r}")
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    kinds: list[inspect._ParameterKind] = [inspect.Parameter.POSITIONAL_ONLY] * len(
        given.posonlyargs
    )
    kinds += [inspect.Parameter.POSITIONAL_OR_KEYWORD] * len(given.args)
    parameters = [
        _parameter(argument, kind, default)
        for argument, kind, default in zip(plain, kinds, defaults, strict=True)
    ]
    if given.vararg:
        parameters.append(_parameter(given.vararg, inspect.Parameter.VAR_POSITIONAL, None))
    parameters += [
        _parameter(argument, inspect.Parameter.KEYWORD_ONLY, default)
        for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    if given.kwarg:
        parameters.append(_parameter(given.kwarg, inspect.Parameter.VAR_KEYWORD, None))
    returns = inspect.Signature.empty if function.returns is None else _text(function.returns)
    return inspect.Signature(parameters, return_annotation=returns)


def _parameter(
    argument: ast.arg, kind: inspect._ParameterKind, default: ast.expr | None
) -> inspect.Parameter:
    value: Any = inspect.Parameter.empty
    if default is not None:
        try:
            value = ast.literal_eval(default)
        except ValueError:
            value = _text(default)
    annotation = (
        inspect.Parameter.empty if argument.annotation is None else _text(argument.annotation)
    )
    return inspect.Parameter(argument.arg, kind, default=value, annotation=annotation)


class _Source(str):
    """Source text whose repr has no quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _text(node: ast.expr) -> _Source:
    return _Source(ast.unparse(node))
