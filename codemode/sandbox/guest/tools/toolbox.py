"""The tools as the executed code sees them: functions, namespaces and ``tools``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, cast

from codemode.sandbox.guest.tools.calling import Caller, ToolSpec
from codemode.sandbox.guest.tools.signatures import signature_of
from codemode.sandbox.guest.tools.tool_errors import ToolError, UnknownToolError

__all__ = ["Namespace", "Tool", "Tools", "function_of", "near_names"]

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
        head = f"{'await ' * self.asynchronous}{self.signature}"
        return f"{head}\n{inspect.cleandoc(self.description)}".rstrip()

    def __repr__(self) -> str:
        summary = self.description.strip().partition("\n")[0]
        return (
            f"<{'async ' * self.asynchronous}tool {self.signature}{': ' * bool(summary)}{summary}>"
        )


class Namespace:
    """The tools that share the first part of a dotted name: ``orders`` of ``orders.get``."""

    def __init__(self, name: str) -> None:
        self.__dict__["__name__"] = name

    def __getattr__(self, attribute: str) -> Any:
        members = self._members()
        name = self.__dict__["__name__"]
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        near = get_close_matches(attribute, members, 3) or members
        raise AttributeError(
            f"there is no tool {name}.{attribute}; similar tools: "
            + ", ".join(f"{name}.{member}" for member in near),
            name=attribute,
        )

    def __repr__(self) -> str:
        return f"<tools {self.__dict__['__name__']}: {', '.join(self._members())}>"

    def __dir__(self) -> list[str]:
        return self._members()

    def _members(self) -> list[str]:
        return [
            name
            for name, member in self.__dict__.items()
            if name != "__name__" and not getattr(member, "hidden", False)
        ]


class Tools:
    """All tools of the run: ``tools["orders.get"].run(...)``, ``tools.search("refund")``."""

    def __init__(self, specs: Iterable[ToolSpec], caller: Caller) -> None:
        announced = list(specs)
        self._specs = {spec.name: spec for spec in announced if not spec.hidden}
        self._functions = {spec.name: function_of(spec, caller) for spec in announced}

    def names(self) -> list[str]:
        """Return the names of all tools."""
        return list(self._specs)

    def search(self, text: str, limit: int = 10) -> list[Tool]:
        """Return the tools that fit the words of the text, best first."""
        words = _words(text)
        ranked = [
            (-score, name)
            for name, spec in self._specs.items()
            if (score := _score(spec, words)) or not words
        ]
        return [self[name] for _, name in sorted(ranked)[: max(limit, 0)]]

    def functions(self) -> dict[str, Any]:
        """Return the functions and namespaces that the code finds under plain names."""
        names: dict[str, Any] = {}
        for dotted, function in self._functions.items():
            *path, last = dotted.split(".")
            members = names
            walked = []
            for step in path:
                walked.append(step)
                members = members.setdefault(step, Namespace(".".join(walked))).__dict__
            members[last] = function
        return names

    def near(self, name: str) -> list[str]:
        """Return the signatures of the tools with similar names."""
        return [self._specs[near].signature for near in near_names(name, self._specs)]

    def __getitem__(self, name: str) -> Tool:
        spec = self._specs.get(name)
        if spec is None and name in self._functions:
            spec = ToolSpec(name=name, signature=f"{name}(...)", description=_HIDDEN)
        if spec is None:
            raise UnknownToolError(_unknown(name, self), tool=str(name), kind="unknown_tool")
        tool = Tool(spec.name, spec.signature, spec.description, spec.asynchronous)
        tool.__dict__["run"] = self._functions[name]
        return tool

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __repr__(self) -> str:
        return "\n".join(["<tools>", *(f"  {spec.signature}" for spec in self._specs.values())])


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
    # Parsed only on demand: inspect calls a callable `__signature__`.
    function.__signature__ = partial(signature_of, spec.signature or "(*args, **kwargs)")
    return cast(Callable[..., Any], function)


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three names that are similar to this one, best first."""
    known = list(names)
    folded = {other.lower().replace(".", "_"): other for other in known}
    wanted = name.lower().replace(".", "_")
    near = [folded[match] for match in get_close_matches(wanted, folded, 3)]
    same_end = [other for other in known if other.rpartition(".")[2] == name]
    return list(dict.fromkeys([*same_end, *near]))[:3]


def _unknown(name: object, tools: Tools) -> str:
    near = tools.near(name) if isinstance(name, str) else []
    if near:
        return f"there is no tool {name!r}. Did you mean: " + "; ".join(near) + "?"
    names = tools.names()
    known = ", ".join(names[:20]) + (", …" if len(names) > 20 else "") if names else "none"
    return f"there is no tool {name!r}; the tools of this run: {known}"


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _score(spec: ToolSpec, words: list[str]) -> int:
    in_name = _words(spec.name.replace("_", " "))
    name, signature = spec.name.lower(), spec.signature.lower()
    described = spec.description.lower()
    score = 0
    for word in words:
        stem = word[:-1] if len(word) > 3 and word.endswith("s") else word
        if word in in_name or stem in in_name:
            score += 8
        elif stem in name:
            score += 4
        if stem in described:
            score += 2
        if stem in signature:
            score += 1
    return score
