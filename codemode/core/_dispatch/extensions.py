"""The project's code around runs and calls: hooks, observers, permission checker, clean-up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from codemode.catalogue.search_words import Synonyms
from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core.context import RuntimeContext
from codemode.core.hooks import ExecutionObserver, ToolFailure, ToolHook, failure_of
from codemode.core.plain_functions import call_plain, check_plain
from codemode.errors import ConfigurationError
from codemode.tools.errors import ToolCallRefused
from codemode.tools.tool import Tool

__all__ = ["ContextLoader", "Extensions", "Members", "PermissionChecker", "SearchFunction"]

logger = logging.getLogger("codemode.tools")

# Returns, for a context, a function that loads the values that only sync code can load.
ContextLoader = Callable[[RuntimeContext], Callable[[], object] | None]

# Returns, for a text, the tools and a limit, the names of tools or namespaces that fit, best first.
SearchFunction = Callable[[str, Mapping[str, Tool], int], Iterable[str]]


class PermissionChecker(Protocol):
    """A check of who may use the tools that carry a permission."""

    def allows(self, tool: Tool, context: RuntimeContext) -> bool:
        """Return whether the caller that ``context`` describes may use ``tool``.

        May raise ToolPermissionDenied to refuse in its own words. Any other
        exception refuses too.
        """


class Members[T]:
    """Objects of one kind, each once, in the order in which they were added.

    Safe to change from any thread: ``all`` is a whole snapshot, which later
    changes do not affect.
    """

    def __init__(self, kind: str, *methods: str) -> None:
        self.all: tuple[T, ...] = ()
        self._kind = kind
        self._methods = methods
        self._lock = threading.Lock()

    def add(self, one: T) -> None:
        """Add an object; do nothing if it is a member already.

        Raises ConfigurationError when one of its methods is asynchronous.
        """
        check_plain(one, *self._methods)
        with self._lock:
            if one not in self.all:
                self.all = (*self.all, one)

    def remove(self, one: T) -> None:
        """Remove an object; raise ConfigurationError when it is not a member."""
        with self._lock:
            if one not in self.all:
                raise ConfigurationError(
                    f"{self._kind} {one!r} cannot be removed: it was never added"
                )
            self.all = tuple(other for other in self.all if other != one)


class Extensions:
    """The project's code around executions and tool calls, safe to change at any time."""

    def __init__(self) -> None:
        self.hooks: Members[ToolHook] = Members("hook", "before_call", "after_call")
        self.observers: Members[ExecutionObserver] = Members(
            "observer", "execution_started", "execution_finished"
        )
        self.permission_checker: PermissionChecker | None = None
        self.context_loader: ContextLoader | None = None
        self.search: SearchFunction | None = None
        """The project's own search of tools, in place of the built-in one."""
        self.synonyms = Synonyms()
        """The synonyms of the built-in search."""
        self.pool_housekeeping: list[Callable[[], object]] = []
        """Called in a pool thread before and after each tool, to close what must not be kept."""
        self.thread_finalizers: list[Callable[[], object]] = []
        """Called at the end of a thread that was started for one execution, to close all else."""

    def denial(self, tool: Tool, context: RuntimeContext) -> ToolFailure | None:
        """Return why the caller may not use a tool, or None. May use the database."""
        if tool.permission is None:
            return None
        checker = self.permission_checker
        if checker is None:
            return _denied(f"{tool.name} is not permitted: no permission checker is installed")
        try:
            allowed = call_plain(checker.allows, tool, context)
        except ToolCallRefused as refusal:
            return failure_of(refusal)
        except Exception as error:
            if is_interrupt(error):
                raise
            logger.exception(
                "The permission check of tool %s failed; the tool is refused", tool.name
            )
            return _denied(f"{tool.name} is not permitted: the permission could not be checked")
        return None if allowed else _denied(f"{tool.name} is not permitted for this caller")

    def loader(self, context: RuntimeContext | None) -> Callable[[], object] | None:
        """Return the function that loads the context's values before a run, if there is any."""
        if self.context_loader is None or context is None:
            return None
        return self.context_loader(context)


def _denied(message: str) -> ToolFailure:
    return ToolFailure(kind="permission_denied", type="ToolPermissionDenied", message=message)
