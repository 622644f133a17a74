"""The JSON of the views and websockets: checked requests, and answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NoReturn

from codemode._suggestions import did_you_mean
from codemode.core.events import (
    Event,
    ExecutionCompleted,
    ExecutionStarted,
    OutputReceived,
    ProgressReported,
    ToolCallFinished,
    ToolCallStarted,
)
from codemode.core.result import ExecutionFailure, ExecutionResult
from codemode.tools import Tool
from codemode.values import MAX_BYTES, to_text
from django_codemode.artifacts import artifact_as_json
from django_codemode.refusals import RefusalError

__all__ = [
    "MAX_JSON",
    "ExecutePayload",
    "check_payload",
    "event_as_json",
    "load_json",
    "parse_payload",
    "refusal_as_json",
    "result_as_json",
    "tool_as_json",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutePayload:
    """The checked body of a request. ``execution_timeout`` is in seconds."""

    code: str
    inputs: dict[str, Any] = field(default_factory=dict)
    available_tools: list[str] | None = None
    execution_timeout: float | None = None


MAX_JSON = 4 * MAX_BYTES
"""Characters of a result in an answer."""

_KEYS = ("code", "inputs", "available_tools", "execution_timeout")


def parse_payload(body: bytes) -> ExecutePayload:
    """Read the body of a request. Raises RefusalError, which names the key and the fix."""
    return check_payload(load_json(body))


def load_json(body: bytes | str) -> dict[str, Any]:
    """Return the JSON object that a client sent. Raises RefusalError."""
    try:
        text = body.decode() if isinstance(body, bytes) else body
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusalError("invalid_json", f"the body is not JSON in UTF-8: {error}") from error
    if not isinstance(data, dict):
        raise RefusalError(
            "invalid_json",
            f"the body is a JSON {_json_name(data)}; expected an object such as "
            '{"code": "result = 1 + 1"}',
        )
    return data


def check_payload(data: dict[str, Any]) -> ExecutePayload:
    """Check the object that a client sent. Raises RefusalError, which names the key and the fix."""
    for key in data:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS, otherwise=f"expected {', '.join(_KEYS)}")
            raise RefusalError("unknown_key", f"the body has the key {key[:100]!r}{hint}")
    if "code" not in data:
        raise RefusalError("missing_code", "the body has no 'code'; put the Python to run there")
    values = {key: value for key, value in data.items() if value is not None or key == "code"}
    for key, (is_right, expected) in _EXPECTED.items():
        if key in values and not is_right(values[key]):
            raise RefusalError(
                f"invalid_{key}",
                f"{key!r} is a JSON {_json_name(values[key])}; expected {expected}",
            )
    try:
        data["code"].encode()
    except UnicodeEncodeError as error:
        raise RefusalError(
            "invalid_code",
            f"'code' has half of a surrogate pair at {error.start}; expected valid Unicode text",
        ) from error
    return ExecutePayload(**values)


def result_as_json(result: ExecutionResult) -> dict[str, Any]:
    """Return the whole outcome as JSON values, by the rules of ``codemode.values.to_text``.

    A value whose JSON has more than ``MAX_JSON`` characters is left out, and
    the status becomes ``limit``. A character that JSON escapes may take six.
    """
    text = result.text
    size = len(json.dumps(text)) if isinstance(result.value, str) else len(text)
    if size > MAX_JSON:
        message = f"the result has {size:,} characters as JSON; at most {MAX_JSON:,} are answered"
        failure = ExecutionFailure(type="ResultLimit", message=message)
        result = replace(result, status="limit", value=None, error=failure)
        text = result.text
    return {
        "status": result.status,
        "value": result.value if isinstance(result.value, str) else json.loads(text),
        "text": result.for_model(),
        "stdout": result.stdout,
        "stderr": result.stderr,
        "hints": list(result.hints),
        "artifacts": [artifact_as_json(one) for one in result.artifacts],
        "error": asdict(result.error) if result.error else None,
        "tool_calls": [
            {
                "name": call.name,
                "arguments": _plain(call.arguments),
                "outcome": call.outcome,
                "duration_ms": call.duration_ms,
                "error": call.error,
            }
            for call in result.tool_calls
        ],
        "execution_id": result.execution_id,
        "duration_ms": result.duration_ms,
        "isolation": result.isolation,
        "usage": asdict(result.usage),
    }


def tool_as_json(tool: Tool) -> dict[str, Any]:
    """Return what a program or a model needs to know about a tool."""
    return {
        "name": tool.name,
        "signature": tool.signature,
        "description": tool.description,
        "asynchronous": tool.asynchronous,
        "effects": tool.effects,
        "tags": list(tool.tags),
        "parameters": tool.input_schema,
        "returns": tool.output_schema,
    }


def event_as_json(event: Event) -> dict[str, Any]:
    """Return the data of an event, without its ``type``; of ``completed``, the whole outcome."""
    match event:
        case ExecutionStarted():
            return {"execution_id": event.execution_id, "isolation": event.isolation}
        case OutputReceived():
            return {"stream": event.stream, "text": event.text}
        case ToolCallStarted():
            return {
                "call_id": event.call_id,
                "name": event.name,
                "arguments": _plain(event.arguments),
                "at_ms": event.at_ms,
            }
        case ToolCallFinished():
            return {
                "call_id": event.call_id,
                "name": event.name,
                "outcome": event.outcome,
                "error": event.error,
                "duration_ms": event.duration_ms,
                "at_ms": event.at_ms,
            }
        case ProgressReported():
            # The code may report nan, which JSON lacks.
            return {
                "done": _plain(event.done),
                "total": _plain(event.total),
                "note": event.note,
            }
        case ExecutionCompleted():
            return result_as_json(event.result)


def refusal_as_json(refusal: RefusalError) -> dict[str, Any]:
    """Return the data of the ``error`` event of a stream or of a websocket."""
    result = refusal.result
    return {
        "code": refusal.code,
        "message": str(refusal),
        "retry_after": refusal.retry_after,
        "result": None if result is None else result_as_json(result),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else json.loads(to_text(value))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; use null")


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < math.inf


_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "code": (lambda value: isinstance(value, str), "a string of Python"),
    "inputs": (
        lambda value: isinstance(value, dict),
        "an object of variable names and their values",
    ),
    "available_tools": (
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
        "an array of tool names; [] for none, null for all",
    ),
    "execution_timeout": (_is_seconds, "a number of seconds above 0"),
}


def _json_name(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), f"number ({value!r:.50})")
