"""The registry of the tools that a process offers, and of the project's code around them."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from codemode.catalogue.search_words import Synonyms
from codemode.core._dispatch.extensions import (
    ContextLoader,
    Extensions,
    PermissionChecker,
    SearchFunction,
)
from codemode.core._dispatch.listing import Listing, Listings
from codemode.core._dispatch.threads import on_sync_thread
from codemode.core.context import (
    ContextBlock,
    RuntimeContext,
    get_current_context,
    set_current_context,
)
from codemode.core.hooks import ExecutionObserver, ToolHook
from codemode.errors import ConfigurationError, ToolRegistrationError
from codemode.tools.build import default_name, make_tool, same_source
from codemode.tools.names import (
    check_name,
    check_namespaces,
    hint_for_name,
    names_meant,
    namespaces_of,
)
from codemode.tools.tool import Tool

__all__ = [
    "ComponentRegistry",
    "ContextBlock",
    "ContextLoader",
    "PermissionChecker",
    "RuntimeContext",
    "SearchFunction",
    "get_current_context",
]


class ComponentRegistry:
    """A registry of tools, hooks, observers and a permission checker, safe to change any time.

    Readers get whole snapshots, which later changes do not affect. The context
    methods act on the current task or thread, not on the registry.
    """

    def __init__(self) -> None:
        self.extensions = Extensions()
        """The hooks, the observers and the project's other code around executions and calls."""
        self._lock = threading.Lock()
        self._tools: Mapping[str, Tool] = MappingProxyType({})
        self._listings = Listings()
        self._namespaces: dict[str, str] = {}  # used under the lock; a tool for each

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools of this moment, by name, as a read-only snapshot."""
        return self._tools

    @property
    def hooks(self) -> tuple[ToolHook, ...]:
        """The hooks, in the order in which they see a call before it runs."""
        return self.extensions.hooks.all

    @property
    def observers(self) -> tuple[ExecutionObserver, ...]:
        """The observers, in the order in which they are notified of a begin."""
        return self.extensions.observers.all

    @property
    def permission_checker(self) -> PermissionChecker | None:
        """The check of who may use the tools that carry a permission; without it, nobody may."""
        return self.extensions.permission_checker

    @permission_checker.setter
    def permission_checker(self, checker: PermissionChecker | None) -> None:
        self.extensions.permission_checker = checker

    @property
    def context_loader(self) -> ContextLoader | None:
        """A function, called before each run, whose result runs on the thread for sync code."""
        return self.extensions.context_loader

    @context_loader.setter
    def context_loader(self, loader: ContextLoader | None) -> None:
        self.extensions.context_loader = loader

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
            check_namespaces(name, self._tools, self._namespaces)
            self._namespaces |= namespaces_of(name)
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
            self._namespaces = {}
            for one in self._tools:
                self._namespaces |= namespaces_of(one)

    def replace_tools(self, former: Iterable[Tool], tools: Iterable[Tool]) -> None:
        """Remove some records and add others, in one step.

        A former record that is not registered any more is left out. Raises
        ToolRegistrationError, and changes nothing, for a name that is taken.
        """
        with self._lock:
            gone = {id(one) for one in former}
            found = {name: one for name, one in self._tools.items() if id(one) not in gone}
            namespaces: dict[str, str] = {}
            for name in found:
                namespaces |= namespaces_of(name)
            for tool in tools:
                if (present := found.get(tool.name)) is not None:
                    raise ToolRegistrationError(
                        f"tool {tool.name!r} is already registered, from {present.origin}, and "
                        f"{tool.origin} wants the same name; choose another name"
                    )
                check_namespaces(tool.name, found, namespaces)
                found[tool.name] = tool
                namespaces |= namespaces_of(tool.name)
            self._tools, self._namespaces = MappingProxyType(found), namespaces

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
        denied = {
            name
            for name, tool in tools.items()
            if tool.permission is not None
            and self.extensions.denial(tool, context or RuntimeContext()) is not None
        }
        if not denied:
            return tools
        return MappingProxyType({name: tool for name, tool in tools.items() if name not in denied})

    async def visible_async(
        self, tools: Mapping[str, Tool], context: RuntimeContext | None
    ) -> Mapping[str, Tool]:
        """Do the same as ``visible``, with the checker on the thread for sync code."""
        if self.permission_checker is None or all(
            tool.permission is None for tool in tools.values()
        ):
            return self.visible(tools, context)
        return await on_sync_thread(self.visible, tools, context)

    def listing(self, tools: Mapping[str, Tool], listed: Mapping[str, Tool]) -> Listing:
        """Return what is prepared of these tools, of which a model is shown those ``listed``."""
        return self._listings.get(tools, listed)

    def set_search(
        self,
        search: SearchFunction | None = None,
        *,
        synonyms: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Set how ``tools.search`` finds tools; without arguments, reset it.

        ``search(text, tools, limit)`` replaces the built-in search. It gets the
        tools that the caller may use, by name, and returns the names of tools or
        of namespaces, best first; others are skipped. It runs in the caller's
        thread, or on the thread for sync code, and may use the database. When it
        raises or returns anything but names, the built-in search answers and the
        error is logged.

        ``synonyms`` add to those of the built-in search: for a word or a phrase,
        the words in names and descriptions that it may mean, such as
        ``{"RMA": ["return", "refund"]}``. Raises ConfigurationError.
        """
        if search is not None and not _is_plain_function(search):
            raise ConfigurationError(
                f"search is {search!r}; expected a plain function search(text, tools, limit)"
            )
        table = Synonyms(synonyms)
        self.extensions.search, self.extensions.synonyms = search, table

    def load(self, context: RuntimeContext | None) -> None:
        """Load the context's values by the ``context_loader``, before a run in this thread."""
        if (load := self.extensions.loader(context)) is not None:
            load()

    async def load_async(self, context: RuntimeContext | None) -> None:
        """Do the same as ``load``, on the thread for sync code."""
        if (load := self.extensions.loader(context)) is not None:
            await on_sync_thread(load)

    def add_hook(self, hook: ToolHook) -> None:
        """Let a hook see each tool call before and after it runs; adding it again is a no-op.

        Raises ConfigurationError when a method of the hook is asynchronous.
        """
        self.extensions.hooks.add(hook)

    def remove_hook(self, hook: ToolHook) -> None:
        """Remove a hook; raise ConfigurationError when it has not been added."""
        self.extensions.hooks.remove(hook)

    def add_observer(self, observer: ExecutionObserver) -> None:
        """Let an observer see executions begin and end; adding it again is a no-op.

        Raises ConfigurationError when a method of the observer is asynchronous.
        """
        self.extensions.observers.add(observer)

    def remove_observer(self, observer: ExecutionObserver) -> None:
        """Remove an observer; raise ConfigurationError when it has not been added."""
        self.extensions.observers.remove(observer)

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


def _is_plain_function(thing: object) -> bool:
    return callable(thing) and not inspect.iscoroutinefunction(thing)


def _is_of(present: Tool, tool: object) -> bool:
    """Return whether a registered record is ``tool``, or was made from it."""
    if isinstance(tool, Tool):
        return present is tool
    return same_source(present.source, tool)
