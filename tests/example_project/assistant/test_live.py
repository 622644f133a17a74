"""A real agent of pydantic-ai, whose model is pydantic-ai's own fake."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from assistant.conversation import Conversation
from assistant.events import AnswerWritten, CodeWritten
from codemode.core.events import ExecutionCompleted
from django_codemode import get_codemode
from tests.support.frameworks import needs_frameworks

CODE = 'print("one")\nlen(list_orders(page_size=50))'


@pytest.fixture(autouse=True)
def _frameworks() -> None:
    needs_frameworks("pydantic_ai")


@pytest.mark.usefixtures("shop")
def test_a_model_writes_code_reads_its_result_and_answers() -> None:
    from pydantic_ai.messages import ModelMessage, ToolReturnPart
    from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

    from assistant.live import LiveModel

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        read = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
        if read:
            yield "There are "
            yield f"{read[0].content!s}".split()[-1]
            return
        arguments = json.dumps({"code": CODE})
        yield {0: DeltaToolCall(name="execute_code", json_args="", tool_call_id="1")}
        for start in range(0, len(arguments), 7):
            yield {0: DeltaToolCall(json_args=arguments[start : start + 7])}

    model = LiveModel(FunctionModel(stream_function=answer))
    with get_codemode().registry.context(tenant_id="nordlicht"):
        events: list[Any] = list(Conversation(model, "How many orders has a page?"))

    pieces = [one.text for one in events if isinstance(one, CodeWritten)]
    assert len(pieces) > 3
    assert "".join(pieces) == CODE
    [result] = [one.result for one in events if isinstance(one, ExecutionCompleted)]
    assert (result.stdout, result.value) == ("one\n", 50)
    assert "".join(one.text for one in events if isinstance(one, AnswerWritten)) == "There are 50"
    assert (events[-1].calls, events[-1].round_trips) == (1, 1)
