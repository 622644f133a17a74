"""One record with everything about one tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from codemode.tools.arguments import Arguments, json_schema_of
from codemode.tools.decorator import Effects

__all__ = ["Tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The record of one tool, built once by ``make_tool`` at registration.

    ``function`` is what runs: a function or a bound method, sync or
    ``asynchronous``. If ``wants_context``, its first argument is the
    RuntimeContext. ``permission`` is interpreted by the registry's permission
    checker; None admits everybody. ``thread_sensitive`` matters to sync tools
    only: True keeps them on the caller's thread. ``positional_parameters`` may
    be passed by position, in this order. ``effects`` is what a call does; None
    says nothing, so that it may write. ``tags`` are words for a search.
    ``source`` is the object that was registered, and ``origin`` its module and
    qualified name.
    """

    name: str
    description: str
    signature: str
    positional_parameters: tuple[str, ...]
    asynchronous: bool
    thread_sensitive: bool
    wants_context: bool
    permission: Any
    function: Callable[..., Any] = field(repr=False)
    arguments: Arguments = field(repr=False)
    returns: Any = field(repr=False)
    source: object = field(repr=False)
    origin: str
    effects: Effects | None = None
    tags: tuple[str, ...] = ()
    _schemas: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments converted to their types; raise InvalidArguments."""
        return self.arguments.validate(arguments)

    def call(self, context: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
        """Call the function with validated arguments; return its value or awaitable."""
        if self.wants_context:
            return self.function(context, **arguments)
        return self.function(**arguments)

    @property
    def input_schema(self) -> dict[str, Any]:
        """A new copy of the JSON Schema of the arguments."""
        return self._schema("input", self.arguments.json_schema)

    @property
    def output_schema(self) -> dict[str, Any]:
        """A new copy of the JSON Schema of the return type, empty where there is none."""
        return self._schema("output", lambda: json_schema_of(self.returns))

    def once[T](self, name: str, build: Callable[[], T]) -> T:
        """Return what ``build`` returned on its first call under this name."""
        # Building a schema takes long, and most are never needed.
        if name not in self._schemas:
            self._schemas[name] = build()
        kept: T = self._schemas[name]
        return kept

    def _schema(self, name: str, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return deepcopy(self.once(name, build))
