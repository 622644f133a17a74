from __future__ import annotations

from assistant.events import AnswerWritten, CodeWritten
from assistant.meter import Meter
from codemode import ExecutionResult
from codemode.catalogue.tokens import count_tokens
from codemode.core.events import ExecutionCompleted, ToolCallFinished, ToolCallStarted
from codemode.tools import make_tool
from codemode.values import encode


def get_order(order_id: int) -> dict[str, int]:
    """Return an order."""
    return {"id": order_id}


def test_each_request_reads_what_came_before_it() -> None:
    tool = make_tool("get_order", get_order)
    meter = Meter("Why?", "Write Python.", {"get_order": tool})
    meter.note(CodeWritten(text="get_order(1)"))
    meter.note(CodeWritten(text="; get_order(2)"))
    for number in (1, 2):
        meter.note(
            ToolCallStarted(call_id=number, name="get_order", arguments={"order_id": number})
        )
        meter.note(
            ToolCallFinished(
                call_id=number,
                name="get_order",
                outcome="completed" if number == 1 else "failed",
                duration_ms=1,
                error=None if number == 1 else "no such order",
                encoded=encode({"id": 1}) if number == 1 else None,
            )
        )
    meter.note(
        ExecutionCompleted(result=ExecutionResult(status="completed", execution_id="", value=7))
    )
    meter.note(AnswerWritten(text="Because."))
    counted = meter.count()

    def asked(definitions: str, *exchanges: tuple[str, str]) -> int:
        """Return the tokens of the whole text of each request, and of what it was answered."""
        texts = [definitions, "Why?"]
        total = 0
        for written, returned in exchanges:
            total += sum(map(count_tokens, [*texts, written]))
            texts += [written, returned]
        return total + sum(map(count_tokens, [*texts, "Because."]))

    code_schema = (
        '{"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}'
    )
    code_tool = (
        f'{{"name": "execute_code", "description": "Write Python.", "parameters": {code_schema}}}'
    )
    assert (counted.calls, counted.round_trips) == (2, 1)
    assert counted.tokens == asked(code_tool, ("get_order(1); get_order(2)", "7"))
    definitions = meter._definitions()
    assert '"name": "get_order"' in definitions
    assert '"order_id"' in definitions
    assert counted.instead_of == asked(
        definitions,
        ('{"name": "get_order", "arguments": {"order_id": 1}}', '{"id": 1}'),
        ('{"name": "get_order", "arguments": {"order_id": 2}}', "no such order"),
    )
