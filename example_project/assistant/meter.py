"""The count of an answer's tokens, beside those of the same calls without code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from assistant.events import AnswerWritten, CodeWritten, Counted
from codemode import ExecutionResult
from codemode.catalogue.tokens import count_tokens, counts_exactly
from codemode.core.events import ExecutionCompleted, ToolCallFinished, ToolCallStarted
from codemode.tools import Tool
from codemode.values import to_text

__all__ = ["Meter"]

_CODE = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}


class Meter:
    """The meter of one answer, which notes its events.

    Only actual texts are counted: the question, the definitions of the tools,
    what the model wrote, and what it read of the results. Each request to a
    model contains everything before it.
    """

    def __init__(self, question: str, instructions: str, tools: Mapping[str, Tool]) -> None:
        self._question = question
        self._instructions = instructions
        self._tools = tools
        self._code = ""
        self._answer = ""
        self._runs: list[tuple[str, ExecutionResult]] = []
        self._begun: dict[int, ToolCallStarted] = {}
        self._calls: list[tuple[ToolCallStarted, ToolCallFinished]] = []

    def note(self, event: Any) -> None:
        """Note an event of the answer."""
        match event:
            case CodeWritten():
                self._code += event.text
            case AnswerWritten():
                self._answer += event.text
            case ToolCallStarted():
                self._begun[event.call_id] = event
            case ToolCallFinished():
                self._calls.append((self._begun.pop(event.call_id), event))
            case ExecutionCompleted():
                self._runs.append((self._code, event.result))
                self._code = ""
                self._begun.clear()

    def count(self) -> Counted:
        """Return the count; takes time linear in the texts."""
        code_tool = _definition("execute_code", self._instructions, _CODE)
        return Counted(
            calls=len(self._calls),
            round_trips=len(self._runs),
            tokens=self._tokens(code_tool, ((code, run.for_model()) for code, run in self._runs)),
            instead_of=self._tokens(self._definitions(), map(_direct, self._calls)),
            exact=counts_exactly(),
        )

    def _definitions(self) -> str:
        return "\n".join(
            _definition(one.name, one.description, one.input_schema) for one in self._tools.values()
        )

    def _tokens(self, definitions: str, exchanges: Iterable[tuple[str, str]]) -> int:
        """Return the tokens of a request for each exchange, and of the last, for the answer."""
        read = count_tokens(definitions) + count_tokens(self._question)
        total = 0
        for written, returned in exchanges:
            own = count_tokens(written)
            total += read + own
            read += own + count_tokens(returned)
        return total + read + count_tokens(self._answer)


def _definition(name: str, description: str, schema: Mapping[str, Any]) -> str:
    return json.dumps({"name": name, "description": description, "parameters": schema})


def _direct(call: tuple[ToolCallStarted, ToolCallFinished]) -> tuple[str, str]:
    """Return what a model would have written and read of a call without code."""
    begun, ended = call
    written = f'{{"name": "{begun.name}", "arguments": {to_text(begun.arguments)}}}'
    if ended.error is not None:
        return written, ended.error
    value = ExecutionResult(status="completed", execution_id="", value=ended.value)
    return written, value.for_model()
