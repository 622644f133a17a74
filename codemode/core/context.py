"""The context of the current task, and the execution that calls the current tool."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import inspect
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn, Self

__all__ = [
    "ContextBlock",
    "CurrentExecution",
    "RuntimeContext",
    "bind_tool",
    "get_current_context",
    "get_current_execution",
    "set_current_context",
    "use_context",
]


class RuntimeContext(Mapping[str, Any]):
    """The variables of one caller, such as ``tenant_id`` and ``user``.

    A context is immutable, so tasks that share one cannot disturb each other:
    the mapping is copied here and never changes. Two contexts are equal when
    their variables are equal. The repr shows names only, because values may be
    secrets. Raises TypeError when a name is not a str.
    """

    __slots__ = ("_variables",)

    _variables: Mapping[str, Any]

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        copied = dict(variables or {})
        for name in copied:
            if not isinstance(name, str):
                raise TypeError(
                    f"RuntimeContext variable {name!r} is a {type(name).__name__}; "
                    "expected a str as the name of each variable"
                )
        object.__setattr__(self, "_variables", MappingProxyType(copied))

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables as a read-only mapping."""
        return self._variables

    def get(self, name: str, default: Any = None) -> Any:
        """Return a variable, or ``default`` when it is not set."""
        return self._variables.get(name, default)

    def merged(self, **variables: Any) -> Self:
        """Return a context with these variables added; they replace former ones."""
        return type(self)({**self._variables, **variables})

    def __getitem__(self, name: str) -> Any:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"RuntimeContext is immutable, so {name!r} cannot be set; "
            "merged(...) returns a changed copy"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"RuntimeContext is immutable, so {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return (type(self), (dict(self._variables),))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self._variables) or 'empty'}>"


_plain_keys = secrets.token_bytes(16)  # of this process


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentExecution:
    """The execution on whose behalf a tool runs.

    ``expires_at`` is a moment on the clock of ``time.monotonic()``. ``depth``
    is 0, and one more for each enclosing execution whose tool executes code.
    ``label`` is the call's name within a recorded run, the same in each replay;
    None in a plain run.
    """

    execution_id: str
    tool: str
    call_id: int
    expires_at: float = field(repr=False)
    depth: int = field(default=0, repr=False)
    label: str | None = None

    @property
    def idempotency_key(self) -> str:
        """A text that names this call to other systems, which can so notice a repetition.

        In a recorded run it follows from ``execution_id`` and ``label``, and is
        the same in each replay and each process. In a plain run it is unique.
        """
        if self.label is not None:
            named = f"{self.execution_id}\n{self.label}".encode()
            return hashlib.blake2b(named, digest_size=16).hexdigest()
        # The deadline tells apart runs to which the same id was given.
        named = f"{self.execution_id}\n{self.call_id}\n{self.expires_at!r}".encode()
        return hashlib.blake2b(named, key=_plain_keys, digest_size=16).hexdigest()

    @property
    def deadline(self) -> float:
        """The seconds left until the execution times out, never below 0."""
        return max(0.0, self.expires_at - time.monotonic())


_context: contextvars.ContextVar[RuntimeContext | None] = contextvars.ContextVar(
    "codemode_runtime_context", default=None
)
_execution: contextvars.ContextVar[CurrentExecution | None] = contextvars.ContextVar(
    "codemode_current_execution", default=None
)


def get_current_context() -> RuntimeContext | None:
    """Return the context of the current task or thread, or None when there is none."""
    return _context.get()


def get_current_execution() -> CurrentExecution | None:
    """Return the execution that called the current tool, or None outside of tools."""
    return _execution.get()


def set_current_context(context: RuntimeContext | None) -> None:
    """Replace the context of the current task or thread; None clears it.

    Raises TypeError for anything but a RuntimeContext or None.
    """
    _context.set(_checked(context))


@contextlib.contextmanager
def use_context(context: RuntimeContext | None) -> Iterator[RuntimeContext | None]:
    """Make ``context`` the current context within the block, then restore the former.

    Enter and leave the block in the same task or thread. Raises TypeError for
    anything but a RuntimeContext or None.
    """
    token = _context.set(_checked(context))
    try:
        yield context
    finally:
        _context.reset(token)


class ContextBlock:
    """A ``with`` block, or a decorator of functions, that adds variables to the current context."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = dict(variables)
        self._open: AbstractContextManager[RuntimeContext | None] | None = None

    def __enter__(self) -> RuntimeContext:
        if self._open is not None:
            raise RuntimeError(
                "this context block is in use already; call registry.context(...) for each block"
            )
        merged = self._merged()
        self._open = use_context(merged)
        self._open.__enter__()
        return merged

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block, self._open = self._open, None
        if block is not None:
            block.__exit__(kind, error, traceback)

    def __call__[F: Callable[..., Any]](self, function: F) -> F:
        """Return the function, with the variables added in each of its calls."""
        if isinstance(function, type):
            raise TypeError(
                f"this cannot decorate the class {function.__qualname__}, only functions; "
                "decorate its methods, or open a with block in them"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"registry.context() cannot decorate the generator {function.__qualname__}: "
                "its consumer would see the context; use a with block inside it"
            )
        wrapper: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with use_context(self._merged()):
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with use_context(self._merged()):
                    return function(*args, **kwargs)

        decorated: F = wrapper
        return decorated

    def _merged(self) -> RuntimeContext:
        return (get_current_context() or RuntimeContext()).merged(**self._variables)


def bind_tool(context: RuntimeContext | None, execution: CurrentExecution) -> None:
    """Bind the context and the execution that a tool may ask for.

    Call this inside the copy of the context that was made for one call.
    """
    _context.set(context)
    _execution.set(execution)


def _checked(context: RuntimeContext | None) -> RuntimeContext | None:
    if context is not None and not isinstance(context, RuntimeContext):
        raise TypeError(
            f"a {type(context).__name__} cannot be the current context; "
            "expected RuntimeContext(variables={...}) or None"
        )
    return context
