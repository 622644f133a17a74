"""The checks that a call must pass before its tool runs, and the hooks around it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from codemode._suggestions import did_you_mean, some_names
from codemode.core._dispatch.interrupts import is_interrupt
from codemode.core._grpc.greenlets import why_not_async
from codemode.core.hooks import ToolCall, ToolFailure, ToolHook, ToolOutcome, failure_of
from codemode.core.plain_functions import call_plain
from codemode.errors import ValueDecodingError
from codemode.tools.errors import ToolCallRefused
from codemode.tools.tool import Tool
from codemode.values import decode
from codemode.values.shortening import shorten

__all__ = [
    "decode_arguments",
    "run_after_hooks",
    "run_before_hooks",
    "shown",
    "unable",
    "unknown_tool",
    "validate",
]

logger = logging.getLogger("codemode.tools")


def decode_arguments(data: bytes, *, max_bytes: int) -> dict[str, Any] | ToolFailure:
    """Return the arguments that executed code passed, or the failure if they are unusable."""
    try:
        arguments = decode(data, max_bytes=max_bytes)
    except ValueDecodingError as error:
        problem = str(error)
    except Exception as error:
        if is_interrupt(error):
            raise
        logger.exception("The arguments of a tool call could not be decoded")
        problem = "they could not be decoded"
    else:
        if isinstance(arguments, dict) and all(isinstance(key, str) for key in arguments):
            return arguments
        problem = "expected a map of names to values"
    return ToolFailure(
        kind="invalid_arguments",
        type="InvalidArguments",
        message=f"the arguments are not usable: {problem}",
    )


def validate(call: ToolCall, tool: Tool) -> ToolFailure | None:
    """Set the call's validated arguments; return the failure if they are wrong, or None."""
    try:
        call.validated = tool.validate(call.arguments)
    except ToolCallRefused as refusal:
        return failure_of(refusal)
    except Exception as error:
        if is_interrupt(error):
            raise
        logger.exception("A validator of tool %s failed; the call is refused", tool.name)
        return failure_of(error)
    return None


def run_before_hooks(hooks: tuple[ToolHook, ...], call: ToolCall) -> ToolFailure | None:
    """Show the call to each hook; return the first refusal, or None."""
    for hook in hooks:
        try:
            call_plain(hook.before_call, call)
        except ToolCallRefused as refusal:
            return failure_of(refusal)
        except Exception as error:
            if is_interrupt(error):
                raise
            logger.exception("A hook before tool %s failed; the call is refused", call.name)
            return ToolFailure(
                kind="error",
                type="ToolCallRefused",
                message=f"{call.name} was refused: a check before the call failed",
            )
        call.passed_hooks.append(hook)
    return None


def run_after_hooks(call: ToolCall, outcome: ToolOutcome) -> None:
    """Show the outcome to the hooks that let the call through, the last hook first."""
    interrupt: BaseException | None = None
    while call.passed_hooks:
        hook = call.passed_hooks.pop()
        try:
            call_plain(hook.after_call, call, outcome)
        except BaseException as error:
            if is_interrupt(error):
                interrupt = error  # raised once the other hooks have seen the outcome
            else:
                logger.exception("A hook after tool %s failed; its outcome stands", call.name)
    if interrupt is not None:
        raise interrupt


def unknown_tool(name: str, tools: Mapping[str, Tool], *, search: bool) -> ToolFailure:
    """Return the failure for a name that no tool in ``tools`` has, with the nearest names.

    The search for near names takes time; without ``search`` it is left out.
    """
    message = f"there is no tool {shorten(name)}"
    if search:
        message += did_you_mean(
            name,
            tools,
            most=3,
            show=lambda near: tools[near].signature,
            otherwise=f"the tools are: {some_names(tools, 20)}",
        )
    return ToolFailure(kind="unknown_tool", type="UnknownTool", message=message)


def shown(tools: Mapping[str, Tool], listed: Collection[str] | None) -> Mapping[str, Tool]:
    """Return the tools that are listed; a run of many tools makes no copy of them."""
    if listed is None or listed is tools:
        return tools
    if isinstance(listed, Mapping):
        return listed
    return {name: tool for name, tool in tools.items() if name in listed}


def unable(tool: Tool) -> ToolFailure | None:
    """Return why this process cannot run a tool, or None if it can."""
    if not tool.asynchronous:
        return None
    reason = why_not_async(f"the tool {tool.name!r}", "make it a plain function")
    if reason is None:
        return None
    return ToolFailure(kind="error", type="ConfigurationError", message=reason)
