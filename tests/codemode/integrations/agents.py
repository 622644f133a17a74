"""An agent of each framework, whose model is a fake that makes given calls, without a network.

The model makes all of the calls in its first answer, reads what became of them,
and ends with "done".
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from codemode import Codemode

__all__ = ["AGENTS", "Agent", "Call", "Seen", "code"]

DONE = "done"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the model makes."""

    name: str
    arguments: Mapping[str, Any]


def code(text: str) -> Call:
    """Return the call that executes some code."""
    return Call("execute_code", {"code": text})


@dataclass(slots=True)
class Seen:
    """What the model has seen, and what its framework's own channel has carried.

    ``failed`` has a mark for each answer, None where the framework has none.
    ``pictures`` are those of all answers.
    """

    offered: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    failed: list[bool | None] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)

    def read(self, content: Any, failed: bool | None = None) -> None:
        """Note an answer: a text, or a list of a text and the pictures in Base64."""
        text, *pictures = [content] if isinstance(content, str) else content
        self.texts.append(text)
        self.failed.append(failed)
        self.pictures += map(b64decode, pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """One run of an agent, in which the model makes ``calls`` of ``tools``.

    ``user`` goes into the framework's own context. ``per_request``: the agent
    describes its tools for each request, if the framework has a part for that.
    """

    tools: Sequence[Any]
    calls: Sequence[Call]
    user: Any
    per_request: bool
    seen: Seen = field(default_factory=Seen)


@dataclass(frozen=True, slots=True)
class Agent:
    """One way to run an agent.

    ``takes_context``: ``code_tool`` has the option ``context``. ``per_request``:
    the description can be that of each request. ``own_threads``: the framework
    runs tools in threads of its own, which it cannot cancel. ``pictures``: its
    answers to the model may have some.
    """

    name: str
    module: str
    run_with: Callable[[Talk], Awaitable[None]] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    dotted: bool = False
    takes_context: bool = True
    per_request: bool = False
    own_threads: bool = False
    pictures: bool = True

    @property
    def package(self) -> str:
        """The package of the framework."""
        packages = {"google_adk": "google.adk", "openai_agents": "agents"}
        return packages.get(self.module, self.module)

    async def run(
        self,
        codemode: Codemode,
        *calls: Call,
        tools: Sequence[Any] | None = None,
        user: Any = None,
        per_request: bool = False,
        **options: Any,
    ) -> Seen:
        """Run the agent once, in the current context, with ``tools`` or those of ``options``."""
        if tools is None:
            tools = await self.tools(codemode, **options)
        talk = Talk(tools=tools, calls=calls, user=user, per_request=per_request)
        await self.run_with(talk)
        return talk.seen

    async def tools(self, codemode: Codemode, **options: Any) -> list[Any]:
        """Return the tool that executes code, and a plain tool of each other, made in a task."""
        adapter, options, of_plain = self._adapter(options)
        plain = await adapter.plain_tools_async(codemode, **of_plain)
        if self.module in ("google_adk", "pydantic_ai"):  # which ask for the description later
            return [adapter.code_tool(codemode, **options), *plain]
        return [await adapter.code_tool_async(codemode, **options), *plain]

    def tools_of_sync_code(
        self, codemode: Codemode, names: Sequence[str], **options: Any
    ) -> list[Any]:
        """Return the tool that executes code, and a plain tool of each that is named."""
        adapter, options, of_plain = self._adapter(options)
        plain = adapter.plain_tools(codemode, names, **of_plain)
        return [adapter.code_tool(codemode, **options), *plain]

    def _adapter(self, options: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Return the adapter, the options of ``code_tool``, and those of ``plain_tools``."""
        options = {**self.options, **options}
        of_plain = {name: options[name] for name in ("context", "max_chars") if name in options}
        if options.get("kind") == "chat":
            of_plain["kind"] = "chat"
        return import_module(f"codemode.integrations.{self.module}"), options, of_plain

    def plain(self, name: str) -> str:
        """Return the name under which the model calls a tool."""
        return name if self.dotted else name.replace(".", "_")


def _parts(content: Any) -> list[dict[str, Any]]:
    """Return the parts of a content that may be a text alone."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _of_parts(content: Any, text: str, image: str) -> list[str]:
    """Return the text and the pictures of a content, without what is before their Base64."""
    return [one[text] if text in one else one[image].rpartition(",")[2] for one in _parts(content)]


async def _responses(talk: Talk) -> None:
    import httpx2
    import openai

    from codemode.integrations.openai import answer_calls

    tools, calls, seen = talk.tools, talk.calls, talk.seen
    custom = tools[0].definition["type"] == "custom"

    def answer(request: Any) -> Any:
        body = json.loads(request.content)
        seen.offered = {one["name"]: one["description"] for one in body["tools"]}
        read = [one["output"] for one in body["input"] if one.get("type", "").endswith("_output")]
        if read or not calls:
            for one in read:
                seen.read(_of_parts(one, "text", "image_url"))
            text = {"type": "output_text", "text": DONE, "annotations": []}
            output = [
                {"type": "message", "id": "m", "role": "assistant", "content": [text]},
            ]
        else:
            output = [
                {
                    "type": "custom_tool_call",
                    "id": f"c{number}",
                    "call_id": str(number),
                    "name": call.name,
                    "input": call.arguments["code"],
                }
                if custom and call.name == "execute_code"
                else {
                    "type": "function_call",
                    "id": f"c{number}",
                    "call_id": str(number),
                    "name": call.name,
                    "arguments": json.dumps(call.arguments),
                }
                for number, call in enumerate(calls)
            ]
        return httpx2.Response(
            200,
            json={
                "id": "r",
                "object": "response",
                "created_at": 1,
                "model": "fake",
                "output": output,
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
                "status": "completed",
            },
        )

    transport = httpx2.MockTransport(answer)
    async with openai.AsyncOpenAI(
        api_key="none", http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        messages: list[Any] = [{"role": "user", "content": "hello"}]
        while True:
            response = await client.responses.create(
                model="fake", input=messages, tools=[one.definition for one in tools]
            )
            messages += response.output
            answers = await answer_calls(tools, response.output)
            if not answers:
                break
            messages += answers
        assert response.output_text == DONE


async def _chat(talk: Talk) -> None:
    import httpx2
    import openai

    from codemode.integrations.openai import answer_calls

    tools, calls, seen = talk.tools, talk.calls, talk.seen

    def answer(request: Any) -> Any:
        body = json.loads(request.content)
        functions = [one["function"] for one in body["tools"]]
        seen.offered = {one["name"]: one["description"] for one in functions}
        read = [one["content"] for one in body["messages"] if one["role"] == "tool"]
        message: dict[str, Any] = {"role": "assistant", "content": DONE}
        if read or not calls:
            for text in read:
                seen.read(text)
        else:
            message["tool_calls"] = [
                {
                    "id": str(number),
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for number, call in enumerate(calls)
            ]
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return httpx2.Response(
            200,
            json={
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "fake",
                "choices": [choice],
            },
        )

    transport = httpx2.MockTransport(answer)
    async with openai.AsyncOpenAI(
        api_key="none", http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        messages: list[Any] = [{"role": "user", "content": "hello"}]
        while True:
            completion = await client.chat.completions.create(
                model="fake", messages=messages, tools=[one.definition for one in tools]
            )
            message = completion.choices[0].message
            messages.append(message)
            answers = await answer_calls(tools, message.tool_calls or [])
            if not answers:
                break
            messages += answers
        assert message.content == DONE


async def _anthropic(talk: Talk) -> None:
    import anthropic
    import httpx2

    calls, seen = talk.calls, talk.seen
    requests = 0

    def answer(request: Any) -> Any:
        nonlocal requests
        requests += 1
        body = json.loads(request.content)
        seen.offered |= {one["name"]: one["description"] for one in body.get("tools", ())}
        content: list[dict[str, Any]] = [{"type": "text", "text": DONE}]
        if requests == 1 and calls:
            content = [
                {
                    "type": "tool_use",
                    "id": f"t{number}",
                    "name": call.name,
                    "input": dict(call.arguments),
                }
                for number, call in enumerate(calls)
            ]
        elif calls:
            for one in body["messages"][-1]["content"]:
                read = [
                    part["text"] if part["type"] == "text" else part["source"]["data"]
                    for part in _parts(one["content"])
                ]
                seen.read(read, one.get("is_error", False))
        return httpx2.Response(
            200,
            json={
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "fake",
                "content": content,
                "stop_reason": "tool_use" if content[0]["type"] == "tool_use" else "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
            },
        )

    transport = httpx2.MockTransport(answer)
    async with anthropic.AsyncAnthropic(
        api_key="none", http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        last = await client.beta.messages.tool_runner(
            model="fake",
            max_tokens=100,
            messages=[{"role": "user", "content": "hello"}],
            tools=talk.tools,
        ).until_done()
        assert last.content[0].text == DONE


async def _openai_agents(talk: Talk) -> None:
    import agents
    from agents.testing import ModelStep, ScriptedModel, assistant_message
    from openai.types.responses import ResponseCustomToolCall, ResponseFunctionToolCall

    agents.set_tracing_disabled(disabled=True)
    tools, calls, seen = list(talk.tools), talk.calls, talk.seen
    seen.offered = {one.name: one.description for one in tools}
    custom = isinstance(tools[0], agents.CustomTool)
    made: list[Any] = [
        ResponseCustomToolCall(
            type="custom_tool_call",
            call_id=str(number),
            name=call.name,
            input=call.arguments["code"],
        )
        if custom and call.name == "execute_code"
        else ResponseFunctionToolCall(
            type="function_call",
            call_id=str(number),
            name=call.name,
            arguments=json.dumps(call.arguments),
        )
        for number, call in enumerate(calls)
    ]
    steps = [ModelStep(output=made)] if calls else []
    model = ScriptedModel([*steps, ModelStep(output=[assistant_message(DONE)])])
    agent = agents.Agent(name="clerk", model=model, tools=tools)
    result = await agents.Runner.run(agent, "hello", context=talk.user)
    assert result.final_output == DONE
    outputs = [one for one in result.new_items if isinstance(one, agents.ToolCallOutputItem)]
    for item in sorted(outputs, key=lambda one: int(one.raw_item["call_id"])):
        seen.read(_of_parts(item.raw_item["output"], "text", "image_url"))


async def _pydantic_ai(talk: Talk) -> None:
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai.messages import (
        ModelMessage,
        ModelResponse,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
    )
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    from codemode.integrations.pydantic_ai import CodemodeEvent

    calls, seen = talk.calls, talk.seen

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.offered = {one.name: one.description or "" for one in info.function_tools}
        parts = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
        for part in parts:
            content = part.content if isinstance(part.content, list) else [part.content]
            texts = [one if isinstance(one, str) else one.base64 for one in content]
            seen.read(texts, part.outcome == "failed")
        if parts or not calls:
            return ModelResponse(parts=[TextPart(DONE)])
        return ModelResponse(
            parts=[ToolCallPart(call.name, dict(call.arguments)) for call in calls]
        )

    async def listen(_ctx: Any, events: AsyncIterator[Any]) -> None:
        async for event in events:
            if isinstance(event, CodemodeEvent):
                seen.events.append(event.event)

    agent = PydanticAgent(
        FunctionModel(answer, stream_function=_streamed(answer)), tools=list(talk.tools)
    )
    result = await agent.run("hello", deps=talk.user, event_stream_handler=listen)
    assert result.output == DONE


def _streamed(answer: Callable[..., Any]) -> Any:
    from pydantic_ai.messages import TextPart
    from pydantic_ai.models.function import DeltaToolCall

    async def stream(messages: Any, info: Any) -> AsyncIterator[Any]:
        for number, part in enumerate(answer(messages, info).parts):
            if isinstance(part, TextPart):
                yield part.content
            else:
                arguments = json.dumps(part.args)
                yield {
                    number: DeltaToolCall(
                        name=part.tool_name, json_args=arguments, tool_call_id=str(number)
                    )
                }

    return stream


async def _langchain(talk: Talk) -> None:
    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
    from langchain_core.messages import AIMessage, ToolMessage

    from codemode.integrations.langchain import describe_per_request

    calls, seen = talk.calls, talk.seen

    class Fake(FakeMessagesListChatModel):
        def bind_tools(self, tools: Any, **_options: Any) -> Any:
            seen.offered = {one.name: one.description for one in tools}
            return self

    made = [
        {"name": call.name, "args": dict(call.arguments), "id": str(number)}
        for number, call in enumerate(calls)
    ]
    steps = [AIMessage(content="", tool_calls=made)] if calls else []
    model = Fake(responses=[*steps, AIMessage(content=DONE)])
    agent = create_agent(
        model,
        talk.tools,
        context_schema=dict,
        middleware=[describe_per_request()] if talk.per_request else [],
    )
    messages: list[Any] = []
    async for mode, part in agent.astream(
        {"messages": [("user", "hello")]}, context=talk.user, stream_mode=["custom", "values"]
    ):
        if mode == "custom":
            seen.events.append(part["codemode"])
        else:
            messages = part["messages"]
    for message in messages:
        if isinstance(message, ToolMessage):
            content = _of_parts(message.content, "text", "base64")
            seen.read(content, message.status == "error")
    assert messages[-1].content == DONE


async def _fastmcp(talk: Talk) -> None:
    from fastmcp import Client, FastMCP

    from codemode.integrations.fastmcp import describe_per_request

    calls, seen = talk.calls, talk.seen
    server = FastMCP("shop", transforms=[describe_per_request()] if talk.per_request else [])
    for tool in talk.tools:
        server.add_tool(tool)

    async def progress(done: float, total: float | None, note: str | None) -> None:
        seen.events.append((done, total, note))

    async with Client(server, progress_handler=progress) as client:
        seen.offered = {one.name: one.description or "" for one in await client.list_tools()}
        made = (
            client.call_tool(call.name, dict(call.arguments), raise_on_error=False)
            for call in calls
        )
        for result in await asyncio.gather(*made):
            first, *images = result.content
            seen.read([first.text, *(one.data for one in images)], result.is_error)


async def _google_adk(talk: Talk) -> None:
    from google.adk.agents import LlmAgent
    from google.adk.models import BaseLlm, LlmRequest, LlmResponse
    from google.adk.runners import InMemoryRunner
    from google.genai.types import Content, FunctionCall, Part

    calls, seen = talk.calls, talk.seen

    class Fake(BaseLlm):
        async def generate_content_async(
            self, llm_request: LlmRequest, stream: bool = False
        ) -> AsyncIterator[LlmResponse]:
            declared = llm_request.config.tools[0].function_declarations
            seen.offered = {one.name: one.description for one in declared}
            sent = [part for content in llm_request.contents for part in content.parts]
            read = [part.function_response.response for part in sent if part.function_response]
            for answer in read:
                ((key, text),) = answer.items()
                seen.read(text, key == "error")
            parts = [Part(text=DONE)]
            if calls and not read:
                parts = [
                    Part(function_call=FunctionCall(name=call.name, args=dict(call.arguments)))
                    for call in calls
                ]
            yield LlmResponse(content=Content(role="model", parts=parts))

    agent = LlmAgent(name="clerk", model=Fake(model="fake"), tools=list(talk.tools))
    async with InMemoryRunner(agent) as runner:
        session = await runner.session_service.create_session(
            app_name=runner.app_name, user_id="ann", state=talk.user
        )
        message = Content(role="user", parts=[Part(text="hello")])
        run = runner.run_async(user_id="ann", session_id=session.id, new_message=message)
        async with aclosing(run) as events:
            texts = [part.text async for event in events for part in event.content.parts]
    assert texts[-1] == DONE


async def _crewai(talk: Talk) -> None:
    from crewai import Agent as CrewAgent
    from crewai import BaseLLM, Crew, Task

    calls, seen = talk.calls, talk.seen
    read: list[str] = []

    class Fake(BaseLLM):
        def supports_function_calling(self) -> bool:
            return True

        def call(self, messages: Any, tools: Any = None, *_: Any, **__: Any) -> Any:
            functions = [one["function"] for one in tools]
            seen.offered = {one["name"]: one["description"] for one in functions}
            read.extend(one["content"] for one in messages if one["role"] == "tool")
            if read or not calls:
                return DONE
            return [
                {
                    "id": str(number),
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for number, call in enumerate(calls)
            ]

    agent = CrewAgent(
        role="clerk",
        goal="help",
        backstory="a shop",
        llm=Fake(model="fake"),
        tools=list(talk.tools),
    )
    task = Task(description="hello", expected_output="an answer", agent=agent)
    result = await Crew(agents=[agent], tasks=[task]).akickoff()
    assert result.raw == DONE
    failures = {one.message for output in result.tasks_output for one in output.tool_failures}
    for text in read:
        seen.read(text, text in failures)


def _all() -> Iterator[Agent]:
    no_context, texts_alone = {"takes_context": False}, {"pictures": False}
    yield Agent("openai-custom", "openai", _responses, {"kind": "custom"}, **no_context)
    yield Agent("openai-function", "openai", _responses, {"kind": "function"}, **no_context)
    yield Agent("openai-chat", "openai", _chat, {"kind": "chat"}, **no_context, **texts_alone)
    yield Agent("anthropic", "anthropic", _anthropic, **no_context)
    yield Agent("openai-agents", "openai_agents", _openai_agents, {"kind": "function"})
    yield Agent(
        "openai-agents-custom", "openai_agents", _openai_agents, {"kind": "custom"}, **texts_alone
    )
    yield Agent("pydantic-ai", "pydantic_ai", _pydantic_ai, per_request=True)
    yield Agent("langchain", "langchain", _langchain, per_request=True)
    yield Agent("fastmcp", "fastmcp", _fastmcp, dotted=True, per_request=True)
    yield Agent("google-adk", "google_adk", _google_adk, per_request=True, **texts_alone)
    yield Agent("crewai", "crewai", _crewai, own_threads=True, **no_context, **texts_alone)


AGENTS = {agent.name: agent for agent in _all()}
