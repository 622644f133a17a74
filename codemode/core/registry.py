"""The registry of the tools that a process offers, with their hooks and permissions."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, TypeVar

from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._dispatch.threads import on_sync_thread
from codemode.core.context import (
    RuntimeContext,
    get_current_context,
    set_current_context,
    use_context,
)
from codemode.core.hooks import ExecutionObserver, ToolHook
from codemode.core.plain_functions import call_plain, check_plain
from codemode.errors import ConfigurationError, ToolRegistrationError
from codemode.tools.build import default_name, make_tool, same_source
from codemode.tools.errors import ToolCallRefused
from codemode.tools.names import check_name, check_namespaces, hint_for_name, names_meant
from codemode.tools.tool import Tool

__all__ = [
    "ComponentRegistry",
    "ContextBlock",
    "ContextLoader",
    "PermissionChecker",
    "RuntimeContext",
    "get_current_context",
]

logger = logging.getLogger("codemode.tools")

F = TypeVar("F", bound=Callable[..., Any])

# Returns, for a context, a function that loads the values that only sync code can load.
ContextLoader = Callable[[RuntimeContext], Callable[[], object] | None]


class PermissionChecker(Protocol):
    """A check of who may use the tools that carry a permission."""

    def allows(self, tool: Tool, context: RuntimeContext) -> bool:
        """Return whether the caller that ``context`` describes may use ``tool``.

        May raise ToolPermissionDenied to refuse in its own words. Any other
        exception refuses too.
        """


class ComponentRegistry:
    """A registry of tools, hooks, observers and a permission checker, safe to change any time.

    Readers get whole snapshots, which later changes do not affect. The context
    methods act on the current task or thread, not on the registry.
    """

    def __init__(self) -> None:
        self.permission_checker: PermissionChecker | None = None
        self.context_loader: ContextLoader | None = None
        """Called before each run; the function it returns runs on the thread for sync code."""
        self._lock = threading.Lock()
        self._tools: Mapping[str, Tool] = MappingProxyType({})
        self._hooks: tuple[ToolHook, ...] = ()
        self._observers: tuple[ExecutionObserver, ...] = ()
        self.pool_housekeeping: list[Callable[[], object]] = []
        """Called in a pool thread before and after each tool, to close what must not be kept."""
        self.thread_finalizers: list[Callable[[], object]] = []
        """Called at the end of a thread that was started for one execution, to close all else."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools of this moment, by name, as a read-only snapshot."""
        return self._tools

    @property
    def hooks(self) -> tuple[ToolHook, ...]:
        """The hooks, in the order in which they see a call before it runs."""
        return self._hooks

    @property
    def observers(self) -> tuple[ExecutionObserver, ...]:
        """The observers, in the order in which they are notified of a begin."""
        return self._observers

    def register_tool(self, name: str | None, tool: object, *, overwrite: bool = False) -> Tool:
        """Add a tool under a name (None: its own) and return its record.

        ``tool`` is a function, a method, an object with ``run()`` or
        ``run_with_context()``, or a class of such objects. Adding the same
        object again under its name changes nothing. Raises
        ToolRegistrationError for a name that is taken (unless ``overwrite``)
        or not allowed, and for an object that cannot be a tool.
        """
        name = check_name(default_name(tool) if name is None else name)
        present = self._tools.get(name)
        if present is not None and _is_of(present, tool):
            return present
        # Outside the lock: making a tool may run code of the project.
        made = make_tool(name, tool)
        with self._lock:
            present = self._tools.get(name)
            if present is not None:
                if _is_of(present, tool):
                    return present
                if not overwrite:
                    raise ToolRegistrationError(
                        f"tool {name!r} is already registered, from {present.origin}, and "
                        f"{made.origin} wants the same name; choose another name or pass "
                        "overwrite=True"
                    )
            check_namespaces(name, self._tools)
            self._tools = MappingProxyType({**self._tools, name: made})
        return made

    def unregister_tool(self, name: str) -> None:
        """Remove a tool; raise ToolRegistrationError when there is none of that name."""
        with self._lock:
            if name not in self._tools:
                raise ToolRegistrationError(
                    f"tool {name!r} is not registered{hint_for_name(name, self._tools)}"
                )
            self._tools = MappingProxyType(
                {key: tool for key, tool in self._tools.items() if key != name}
            )

    def select(self, available_tools: Iterable[str] | None) -> Mapping[str, Tool]:
        """Return the tools that an execution may use: None means all, an empty list none.

        ``"orders.*"`` means all tools whose names begin with ``orders.``. Raises
        ConfigurationError for a name that is not registered.
        """
        tools = self._tools
        if available_tools is None:
            return tools
        if isinstance(available_tools, str | bytes):
            raise ConfigurationError(
                f"available_tools={available_tools!r} is one text; "
                f"expected a list of tool names, such as [{available_tools!r}]"
            )
        wanted: set[str] = set()
        for name in available_tools:
            if not isinstance(name, str):
                raise ConfigurationError(
                    f"available_tools has {name!r}, a {type(name).__name__}; "
                    "expected names of registered tools"
                )
            meant = names_meant(name, tools)
            if not meant:
                raise ConfigurationError(
                    f"available_tools has {name!r}, which is not registered"
                    + hint_for_name(name, tools)
                )
            wanted |= meant
        return MappingProxyType({name: tool for name, tool in tools.items() if name in wanted})

    def visible(
        self, tools: Mapping[str, Tool], context: RuntimeContext | None
    ) -> Mapping[str, Tool]:
        """Return the tools that the caller may use, to show them to a model.

        A tool with a permission is left out unless the permission checker
        allows it. The checker may use the database.
        """
        return MappingProxyType(
            {name: tool for name, tool in tools.items() if self._allows(tool, context)}
        )

    async def visible_async(
        self, tools: Mapping[str, Tool], context: RuntimeContext | None
    ) -> Mapping[str, Tool]:
        """Do the same as ``visible``, with the checker on the thread for sync code."""
        if self.permission_checker is None or all(
            tool.permission is None for tool in tools.values()
        ):
            return self.visible(tools, context)
        return await on_sync_thread(self.visible, tools, context)

    def load(self, context: RuntimeContext | None) -> None:
        """Load the context's values by the ``context_loader``, before a run in this thread."""
        if (load := self._loader_of(context)) is not None:
            load()

    async def load_async(self, context: RuntimeContext | None) -> None:
        """Do the same as ``load``, on the thread for sync code."""
        if (load := self._loader_of(context)) is not None:
            await on_sync_thread(load)

    def add_hook(self, hook: ToolHook) -> None:
        """Let a hook see each tool call before and after it runs; adding it again is a no-op.

        Raises ConfigurationError when a method of the hook is asynchronous.
        """
        check_plain(hook, "before_call", "after_call")
        with self._lock:
            if hook not in self._hooks:
                self._hooks = (*self._hooks, hook)

    def remove_hook(self, hook: ToolHook) -> None:
        """Remove a hook; raise ConfigurationError when it has not been added."""
        with self._lock:
            if hook not in self._hooks:
                raise ConfigurationError(f"hook {hook!r} cannot be removed: it was never added")
            self._hooks = tuple(one for one in self._hooks if one != hook)

    def add_observer(self, observer: ExecutionObserver) -> None:
        """Let an observer see executions begin and end; adding it again is a no-op.

        Raises ConfigurationError when a method of the observer is asynchronous.
        """
        check_plain(observer, "execution_started", "execution_finished")
        with self._lock:
            if observer not in self._observers:
                self._observers = (*self._observers, observer)

    def remove_observer(self, observer: ExecutionObserver) -> None:
        """Remove an observer; raise ConfigurationError when it has not been added."""
        with self._lock:
            if observer not in self._observers:
                raise ConfigurationError(
                    f"observer {observer!r} cannot be removed: it was never added"
                )
            self._observers = tuple(one for one in self._observers if one != observer)

    def set_context(self, context: RuntimeContext) -> None:
        """Replace the context of the current task; nothing of the former one stays."""
        set_current_context(context)

    def get_context(self) -> RuntimeContext | None:
        """Return the context of the current task, or None."""
        return get_current_context()

    def clear_context(self) -> None:
        """Leave the current task without a context."""
        set_current_context(None)

    def context(self, **variables: Any) -> ContextBlock:
        """Add variables to the current context for a block or, as a decorator, for each call.

        The former context is restored afterwards.
        """
        return ContextBlock(variables)

    def _loader_of(self, context: RuntimeContext | None) -> Callable[[], object] | None:
        if self.context_loader is None or context is None:
            return None
        return self.context_loader(context)

    def _allows(self, tool: Tool, context: RuntimeContext | None) -> bool:
        if tool.permission is None:
            return True
        if self.permission_checker is None:
            return False
        try:
            context = RuntimeContext() if context is None else context
            return bool(call_plain(self.permission_checker.allows, tool, context))
        except ToolCallRefused:
            return False
        except Exception as error:
            if is_interrupt(error):
                raise
            logger.exception("Permission for tool %s could not be checked: refused", tool.name)
            return False


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

    def __call__(self, function: F) -> F:
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


def _is_of(present: Tool, tool: object) -> bool:
    """Return whether a registered record is ``tool``, or was made from it."""
    if isinstance(tool, Tool):
        return present is tool
    return same_source(present.source, tool)
