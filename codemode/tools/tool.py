"""Everything about one tool, as one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from codemode.tools.arguments import Arguments, json_schema_of

__all__ = ["Tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Describe one tool; ``make_tool`` builds it once, at registration.

    ``function`` is what runs: a function or a bound method, sync or
    ``asynchronous``, which gets the RuntimeContext first if ``wants_context``.
    ``permission`` is what the registry's permission checker makes of it, None
    lets everybody in. ``thread_sensitive`` matters to sync tools only: True keeps them on the
    caller's thread. ``positional_parameters`` may be given by position, in
    this order. ``source`` is the object that was registered, and ``origin``
    says where it comes from.
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
    _schemas: dict[str, dict[str, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
        """Return the JSON Schema of the arguments, as a copy of your own."""
        return self._schema("input", self.arguments.json_schema)

    @property
    def output_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the return type, likewise, empty where there is none."""
        return self._schema("output", lambda: json_schema_of(self.returns))

    def _schema(self, name: str, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        # Built when first asked for, because that takes long and most tools are never asked.
        if name not in self._schemas:
            self._schemas[name] = build()
        return deepcopy(self._schemas[name])
