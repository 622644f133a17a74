"""Many tools: their names are known, and what else there is to know is asked for on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from itertools import islice
from typing import Any

from codemode.sandbox.guest.tools.calling import Caller, ToolSpec
from codemode.sandbox.guest.tools.tool_errors import ToolError
from codemode.sandbox.guest.tools.toolbox import (
    NAMESPACES,
    Namespace,
    Tools,
    function_of,
    identifiers,
)
from codemode.wire.constants import DESCRIBE

__all__ = ["LazyNamespace", "LazySpecs", "LazyTools"]

_DESCRIBE = ToolSpec(name=DESCRIBE, signature="tools.describe(names: list[str])")
_MOST_AT_ONCE = 200
_MOST_BYTES_AT_ONCE = 15_000  # the host takes 16 KiB
_FIELDS = {
    **{field.name: field.name for field in fields(ToolSpec)},
    "positional_parameters": "positional",
}


class LazySpecs(Mapping[str, ToolSpec]):
    """The specs of all tools but the hidden ones, by name, in the order of the names.

    ``text`` has a name a line and, after an empty line, the names of hidden tools.
    """

    def __init__(self, sent: Iterable[ToolSpec], text: str, caller: Caller) -> None:
        self._caller = caller
        self._text: str | None = text
        self._known = {spec.name: spec for spec in sent}
        self._ahead = 0

    @property
    def names(self) -> dict[str, bool]:
        """All names, and whether the tool is hidden; parsed on first use."""
        text = self._text
        if text is not None:
            shown, _, hidden = text.partition("\n\n")
            names = dict.fromkeys(shown.split("\n") if shown else (), False)
            # Another thread may do the same, or be done already.
            self._names = names | dict.fromkeys(hidden.split("\n") if hidden else (), True)
            self._text = None
        return self._names

    def spec(self, name: str) -> ToolSpec:
        """Return the spec of any tool, even of a hidden one. Raises KeyError."""
        if name not in self.names:
            raise KeyError(name)
        if name not in self._known:
            self._ask_for(name)
        return self._known[name]

    def learn(self, names: Iterable[str]) -> None:
        """Ask at once for all of these that are not known yet."""
        wanted = [name for name in names if name not in self._known]
        # What is not answered now, such as too much for one answer, is asked for on first use.
        with suppress(ToolError):
            while wanted:
                asked = _as_many_as_fit(wanted)
                self._ask(asked)
                del wanted[: len(asked)]

    def _ask_for(self, name: str) -> None:
        """Ask for one spec, and for those that are probably used next.

        These are its neighbours and, when one after the other is asked for,
        more and more of the others.
        """
        prefix = name[: name.rfind(".") + 1]
        unknown = [one for one in self.names if one not in self._known and one != name]
        near = [one for one in unknown if prefix and one.startswith(prefix)]
        near += islice(unknown, self._ahead)
        self._ahead = min(max(1, 2 * self._ahead), _MOST_AT_ONCE)
        try:
            self._ask(_as_many_as_fit(list(dict.fromkeys([name, *near]))))
        except ToolError:
            if not near:
                raise
            self._ask([name])  # all of them may be too large an answer

    def _ask(self, names: list[str]) -> None:
        for answer in self._caller.call(_DESCRIBE, (), {"names": names}):
            known = {_FIELDS[key]: value for key, value in answer.items() if key in _FIELDS}
            self._known[known["name"]] = ToolSpec(**known)

    def __getitem__(self, name: str) -> ToolSpec:
        if self.names.get(name, True):
            raise KeyError(name)
        return self.spec(name)

    def __contains__(self, name: object) -> bool:
        return not self.names.get(name, True)  # type: ignore[call-overload]  # of any type

    def __iter__(self) -> Iterator[str]:
        return (name for name, hidden in self.names.items() if not hidden)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _as_many_as_fit(names: list[str]) -> list[str]:
    """Return the first of the names: at least one, and as many as fit into one question."""
    size = 0
    for count, name in enumerate(names[:_MOST_AT_ONCE]):
        size += len(name.encode()) + 3
        if size > _MOST_BYTES_AT_ONCE and count:
            return names[:count]
    return names[:_MOST_AT_ONCE]


class _LazyFunctions(Mapping[str, Callable[..., Any]]):
    """The functions of all tools, made on first use."""

    def __init__(self, specs: LazySpecs, caller: Caller) -> None:
        self._specs = specs
        self._caller = caller
        self._made: dict[str, Callable[..., Any]] = {}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self._made:
            self._made[name] = function_of(self._specs.spec(name), self._caller)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._specs.names

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs.names)

    def __len__(self) -> int:
        return len(self._specs.names)


class LazyNamespace(Namespace):
    """A namespace whose members are made on first use."""

    def __getattr__(self, attribute: str) -> Any:
        tools: LazyTools = self.__dict__["__tools__"]
        member = tools.member(f"{self.__dict__['__name__']}.{attribute}")
        if member is None:
            return super().__getattr__(attribute)
        self.__dict__[attribute] = member
        return member

    def _members(self) -> list[str]:
        tools: LazyTools = self.__dict__["__tools__"]
        prefix = f"{self.__dict__['__name__']}."
        names = (name.removeprefix(prefix) for name in tools if name.startswith(prefix))
        return list(dict.fromkeys(name.partition(".")[0] for name in names))


NAMESPACES.append(LazyNamespace)


class LazyTools(Tools):
    """All tools of a run that has many of them."""

    _specs: LazySpecs

    def __init__(
        self, sent: Iterable[ToolSpec], names: str, caller: Caller, *, searchable: bool
    ) -> None:
        super().__init__((), caller, searchable=searchable)
        self._specs = specs = LazySpecs(sent, names, caller)
        self._functions = _LazyFunctions(specs, caller)
        self._bound: set[str] = set()

    def functions(self) -> dict[str, Any]:
        """Return nothing: ``mentioned`` gives the functions and namespaces that the code names."""
        return {}

    def mentioned(self, source: str) -> dict[str, Any]:
        """Return the functions and namespaces that code names and that no code has named before.

        The specs of the tools that the code may call are known from then on.
        """
        words = identifiers(source)
        if not words:
            return {}
        calls = []
        firsts: dict[str, None] = {}
        for name in self._specs.names:
            first = name.partition(".")[0]
            if first in words:
                firsts[first] = None
                if words.issuperset(name.split(".")):
                    calls.append(name)
        self._specs.learn(calls)
        new = [first for first in firsts if first not in self._bound]
        self._bound.update(new)
        return {first: self.member(first) for first in new}

    def member(self, name: str) -> Any:
        """Return the function or the namespace of a name, or None."""
        if name in self._functions:
            return self._functions[name]
        prefix = f"{name}."
        if any(one.startswith(prefix) for one in self._functions):
            return LazyNamespace(name, self)
        return None

    def explain(self, name: str = "") -> str | None:
        """Return what ``help`` says about a tool or a namespace; without a name, about all."""
        return super().explain(name) if name else repr(self)

    def near(self, name: str, *, cutoff: float = 0.6) -> list[ToolSpec]:
        """Do the same as for few tools; where nothing can be asked any more, return nothing."""
        try:
            return super().near(name, cutoff=cutoff)
        except (ToolError, RuntimeError):
            return []

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for name in self:
            first = name.partition(".")[0]
            counts[first] = counts.get(first, 0) + 1
        lines = (f"  {first} ({count})" for first, count in counts.items())
        return "\n".join(["<tools: tools.search(text) finds them>", *lines])
