"""What an MCP client reads of an outcome: a text for the model, and an object for programs."""

from __future__ import annotations

import json
from typing import Any, get_args

from codemode.core.artifact import Artifact
from codemode.core.result import ExecutionResult, ExecutionStatus, ToolCallRecord
from codemode.tools import Tool
from codemode.values import to_text
from codemode.values.shortening import cut_middle

__all__ = [
    "OUTCOME_SCHEMA",
    "VALUE_SCHEMA",
    "artifacts_sent",
    "effects_of",
    "outcome_as_json",
    "value_as_json",
]

_MOST_CHARACTERS = 100_000  # of the value, and of the output
_MOST_CALLS = 200
_CALL_CHARACTERS = 1_000
_MOST_HINTS = 20
_MOST_ARTIFACT_BYTES = 4 * 1024 * 1024  # of all together; they travel as Base64

_NULLABLE_TEXT = {"type": ["string", "null"]}

OUTCOME_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "status": {"enum": list(get_args(ExecutionStatus))},
        "value": {"description": "The program's value as JSON."},
        "stdout": {"type": "string"},
        "hints": {"type": "array", "items": {"type": "string"}},
        "artifacts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "media_type": {"type": "string"},
                    "size": {"type": "integer"},
                },
                "required": ["name", "media_type", "size"],
            },
        },
        "tool_calls": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "arguments": {"type": ["object", "null"]},
                    "outcome": {"enum": ["running", "completed", "failed", "refused", "cancelled"]},
                    "error": _NULLABLE_TEXT,
                },
                "required": ["name", "arguments", "outcome", "error"],
            },
        },
        "error": {
            "type": ["object", "null"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "line": {"type": ["integer", "null"]},
            },
            "required": ["type", "message", "line"],
        },
        "shortened": {
            "type": "array",
            "items": {"enum": ["value", "stdout", "tool_calls", "artifacts"]},
            "description": "What was too long: a value is null then, the rest is cut. Of "
            "artifacts, some are only named.",
        },
    },
    "required": [
        *("status", "value", "stdout", "hints", "artifacts", "tool_calls", "error", "shortened"),
    ],
}
"""JSON Schema of ``outcome_as_json``."""

VALUE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"value": {}, "shortened": {"type": "boolean"}},
    "required": ["value", "shortened"],
}
"""JSON Schema of ``value_as_json``. It has no type: what a tool returns is not checked."""


def outcome_as_json(result: ExecutionResult) -> dict[str, Any]:
    """Return the outcome of an execution, bounded in size, by ``OUTCOME_SCHEMA``."""
    shortened = []
    value, fits = _bounded(result.value)
    if not fits:
        shortened.append("value")
    if len(result.stdout) > _MOST_CHARACTERS:
        shortened.append("stdout")
    calls = [_call(one) for one in result.tool_calls[:_MOST_CALLS]]
    if len(result.tool_calls) > _MOST_CALLS or not all(fits for _, fits in calls):
        shortened.append("tool_calls")
    if len(artifacts_sent(result)) < len(result.artifacts):
        shortened.append("artifacts")
    error = result.error
    return {
        "status": result.status,
        "value": value,
        "stdout": cut_middle(result.stdout, _MOST_CHARACTERS),
        "hints": [cut_middle(hint, _CALL_CHARACTERS) for hint in result.hints[:_MOST_HINTS]],
        "artifacts": [
            {"name": one.name, "media_type": one.media_type, "size": len(one.data)}
            for one in result.artifacts
        ],
        "tool_calls": [call for call, _ in calls],
        "error": None
        if error is None
        else {
            "type": cut_middle(error.type, _CALL_CHARACTERS),
            "message": cut_middle(error.message, _MOST_CHARACTERS // 10),
            "line": error.line,
        },
        "shortened": shortened,
    }


def artifacts_sent(result: ExecutionResult) -> list[Artifact]:
    """Return the artifacts whose bytes go to the client, in order, as many as fit."""
    left = _MOST_ARTIFACT_BYTES
    sent = []
    for artifact in result.artifacts:
        if len(artifact.data) <= left:
            left -= len(artifact.data)
            sent.append(artifact)
    return sent


def value_as_json(value: Any) -> dict[str, Any]:
    """Return the value of one tool call, bounded in size, by ``VALUE_SCHEMA``."""
    plain, fits = _bounded(value)
    return {"value": plain, "shortened": not fits}


def effects_of(*tools: Tool) -> dict[str, bool]:
    """Return the annotations of MCP for a tool that calls some of these, or is the only one.

    A tool that does not declare its effects may do anything.
    """
    effects = {tool.effects for tool in tools}
    read_only = effects <= {"reads"}
    return {
        "read_only_hint": read_only,
        "destructive_hint": not read_only,
        "idempotent_hint": read_only,
        "open_world_hint": not effects <= {"reads", "database"},
    }


def _bounded(value: Any, most: int = _MOST_CHARACTERS) -> tuple[Any, bool]:
    """Return a value as JSON has it, and True; None and False for one that is too long."""
    if isinstance(value, str):
        return (value, True) if len(value) <= most else (None, False)
    text = to_text(value)
    return (json.loads(text), True) if len(text) <= most else (None, False)


def _call(record: ToolCallRecord) -> tuple[dict[str, Any], bool]:
    arguments, fits = _bounded(record.arguments, _CALL_CHARACTERS)
    return {
        "name": record.name,
        "arguments": arguments,
        "outcome": record.outcome,
        "error": None if record.error is None else cut_middle(record.error, _CALL_CHARACTERS),
    }, fits
