"""The tools as the executed code sees them: functions, namespaces and ``tools``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from codemode.sandbox.guest.advice.near import near_names
from codemode.sandbox.guest.tools.calling import Caller, ToolSpec
from codemode.sandbox.guest.tools.descriptions import (
    explain_group,
    explain_tool,
    explain_tools,
    how_to_call,
    no_such_tool,
)
from codemode.sandbox.guest.tools.search import FoundTool, search_here, search_there
from codemode.sandbox.guest.tools.signatures import ToolSignature
from codemode.sandbox.guest.tools.tool_errors import ToolError, UnknownToolError

__all__ = ["NAMESPACES", "Namespace", "Tool", "Tools", "function_of", "group_of", "identifiers"]

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_HIDDEN = "Not permitted for this caller."


@dataclass(frozen=True)
class Tool:
    """One tool: call it, or read what it does. In the result of a run it becomes a dict."""

    name: str
    signature: str
    description: str
    asynchronous: bool

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool."""
        raise ToolError(f"{self.name} cannot be called", tool=self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)

    def __str__(self) -> str:
        return explain_tool(self.__dict__["spec"])

    def __repr__(self) -> str:
        summary = self.description.strip().partition("\n")[0]
        return (
            f"<{'async ' * self.asynchronous}tool {self.signature}{': ' * bool(summary)}{summary}>"
        )


class Namespace:
    """The tools that share the first part of a dotted name: ``orders`` of ``orders.get``."""

    def __init__(self, name: str, tools: Tools) -> None:
        self.__dict__["__name__"] = name
        self.__dict__["__tools__"] = tools

    # ``orders["get"]`` works; without this line, a loop over ``orders`` would try numbers.
    __iter__: ClassVar[None] = None

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise AttributeError(self._unknown(attribute), name=attribute)

    def __getitem__(self, member: object) -> Any:
        name = str(member)
        try:
            return getattr(self, name)
        except AttributeError:
            raise UnknownToolError(self._unknown(name), kind="unknown_tool") from None

    def __repr__(self) -> str:
        return f"<tools {self.__dict__['__name__']}: {', '.join(self._members())}>"

    def __dir__(self) -> list[str]:
        return self._members()

    def _unknown(self, member: str) -> str:
        tools: Tools = self.__dict__["__tools__"]
        return tools.unknown(f"{self.__dict__['__name__']}.{member}")

    def _members(self) -> list[str]:
        return [
            name
            for name, member in self.__dict__.items()
            if not name.startswith("__") and not getattr(member, "hidden", False)
        ]


NAMESPACES: list[type[Namespace]] = [Namespace]
"""The class and its subclasses: no other object is asked, which might run the code's methods."""


def group_of(value: object) -> str:
    """Return the dotted name of a namespace, or "" for anything else."""
    if not any(type(value) is one for one in NAMESPACES):
        return ""
    name = value.__dict__["__name__"]
    return name if type(name) is str else ""


class Tools:
    """All tools of the run: ``tools["orders.get"].run(...)``, ``tools.search("refund")``."""

    _specs: Mapping[str, ToolSpec]
    _functions: Mapping[str, Callable[..., Any]]

    def __init__(
        self, specs: Iterable[ToolSpec], caller: Caller, *, searchable: bool = False
    ) -> None:
        announced = list(specs)
        self._caller = caller
        self._searchable = searchable  # by the caller's process
        self._specs = {spec.name: spec for spec in announced if not spec.hidden}
        self._functions = {spec.name: function_of(spec, caller) for spec in announced}
        self._plain = self._by_plain_name()

    def names(self) -> list[str]:
        """Return the names of all tools."""
        return list(self._specs)

    def search(self, text: str, limit: int = 5) -> list[FoundTool]:
        """Return the tools of the ``limit`` namespaces that fit some words, best first."""
        if self._searchable:
            return search_there(self._caller, text, limit)
        return search_here(self._specs, text, limit)

    def functions(self) -> dict[str, Any]:
        """Return the functions and namespaces that the code finds under plain names."""
        return {name: one for name, one in self._plain.items() if not _is_hidden(one)}

    def mentioned(self, source: str) -> dict[str, Any]:
        """Return what else this code finds there: the hidden names that it writes itself.

        Python suggests every name that it finds, and a hidden one is not to be suggested.
        """
        hidden = {name: one for name, one in self._plain.items() if _is_hidden(one)}
        words = identifiers(source) if hidden else set[str]()
        return {name: one for name, one in hidden.items() if name in words}

    def member(self, name: str) -> Any:
        """Return the function or the namespace of a dotted name, or None."""
        first, *others = name.split(".")
        found = self._plain.get(first)
        for step in others:
            found = found.__dict__.get(step) if type(found) is Namespace else None
        return found

    def near(self, name: str, *, cutoff: float = 0.6) -> list[ToolSpec]:
        """Return the tools with similar names, best first."""
        return [self._specs[near] for near in near_names(name, self._specs, cutoff=cutoff)]

    def unknown(self, name: str) -> str:
        """Return the message for a name that no tool has."""
        return no_such_tool(name, self._specs)

    def how_to_call(self) -> str:
        """Return how a tool is called."""
        return how_to_call(self._specs)

    def spec_of(self, name: str) -> ToolSpec | None:
        """Return what is known of a tool that the code may see."""
        return self._specs.get(name)

    def explain(self, name: str = "") -> str | None:
        """Return what ``help`` says about a tool or a namespace; without a name, about all."""
        if not name:
            return explain_tools(list(self._specs.values()))
        if name in self._functions:
            return str(self[name])
        group = self.specs_in(name)
        return explain_group(name, group) if group else None

    def specs_in(self, group: str) -> list[ToolSpec]:
        """Return the tools of a namespace that the code may see."""
        return [self._specs[name] for name in self._specs if name.startswith(f"{group}.")]

    def _by_plain_name(self) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for dotted, function in self._functions.items():
            *path, last = dotted.split(".")
            members = names
            walked = []
            for step in path:
                walked.append(step)
                members = members.setdefault(step, Namespace(".".join(walked), self)).__dict__
            members[last] = function
        return names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = self.member(name)
        if found is None:
            raise AttributeError(self.unknown(name), name=name)
        return found

    def __getitem__(self, name: str) -> Tool:
        spec = self._specs.get(name)
        if spec is None and name in self._functions:
            spec = ToolSpec(name=name, signature=f"{name}(...)", description=_HIDDEN)
        if spec is None:
            raise UnknownToolError(self.unknown(str(name)), tool=str(name), kind="unknown_tool")
        tool = Tool(spec.name, spec.signature, spec.description, spec.asynchronous)
        tool.__dict__["run"] = self._functions[name]
        tool.__dict__["spec"] = spec
        return tool

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __repr__(self) -> str:
        return "\n".join(["<tools>", *(f"  {spec.signature}" for spec in self._specs.values())])


def _is_hidden(member: Any) -> bool:
    """Return whether the code may use neither this function nor any tool of this namespace."""
    if type(member) is Namespace:
        parts = member.__dict__.items()
        return all(_is_hidden(one) for name, one in parts if not name.startswith("__"))
    return bool(member.hidden)


def identifiers(source: str) -> set[str]:
    """Return the words of code that may be names, in the form in which Python reads them."""
    if not source.isascii():
        # Imported here: it is large, and few programs need it.
        import unicodedata

        source = unicodedata.normalize("NFKC", source)
    return set(_IDENTIFIER.findall(source))


def function_of(spec: ToolSpec, caller: Caller) -> Callable[..., Any]:
    """Return the function that calls this tool."""

    # The traceback of a failure starts here: the code cannot fix the frames below.
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return caller.call(spec, () if spec.hidden else args, kwargs)
        except ToolError as error:
            raise error.with_traceback(None) from None

    def call_async(*args: Any, **kwargs: Any) -> Any:
        return caller.call_async(spec, () if spec.hidden else args, kwargs)

    function: Any = inspect.markcoroutinefunction(call_async) if spec.asynchronous else call
    function.__name__ = spec.name.rpartition(".")[2]
    function.__qualname__ = spec.name
    function.__module__ = "tools"
    function.__doc__ = _HIDDEN if spec.hidden else spec.description
    function.hidden = spec.hidden
    function.spec = spec
    function.__signature__ = ToolSignature(spec.signature or "(*args, **kwargs)")
    return cast(Callable[..., Any], function)
