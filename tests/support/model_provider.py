"""A provider of models on loopback, whose model calls ``execute_code`` once and quotes its value.

It speaks the Responses API, Chat Completions, Anthropic's Messages and Gemini's generateContent, as
far as the examples of the documentation need them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.frameworks import quiet_crewai

__all__ = ["provider"]

CODE = 'sum(orders.get(number)["total"] for number in (3, 5, 8))'


def _responses(body: dict[str, Any]) -> dict[str, Any]:
    items = body["input"] if isinstance(body["input"], list) else []
    read = [one["output"] for one in items if one.get("type", "").endswith("_call_output")]
    if read:
        text = {"type": "output_text", "text": _answer(read[-1]), "annotations": []}
        output = {"type": "message", "id": "m1", "role": "assistant", "status": "completed"}
        output["content"] = [text]  # type: ignore[assignment]
    elif body["tools"][0]["type"] == "custom":
        output = {"type": "custom_tool_call", "id": "c1", "call_id": "1", "input": CODE}
        output["name"] = "execute_code"
    else:
        output = {"type": "function_call", "id": "f1", "call_id": "1", "name": "execute_code"}
        output["arguments"] = json.dumps({"code": CODE})
    return {
        "id": "r1",
        "object": "response",
        "created_at": 1,
        "model": body["model"],
        "output": [output],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "completed",
    }


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    read = [one["content"] for one in body["messages"] if one["role"] == "tool"]
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if read:
        message["content"] = _answer(read[-1])
    else:
        function = {"name": "execute_code", "arguments": json.dumps({"code": CODE})}
        message["tool_calls"] = [{"id": "1", "type": "function", "function": function}]
    finish = "stop" if read else "tool_calls"
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _messages(body: dict[str, Any]) -> dict[str, Any]:
    last = body["messages"][-1]["content"]
    read = [one["content"] for one in last if isinstance(one, dict) and "tool_use_id" in one]
    content: dict[str, Any] = {"type": "text", "text": _answer(read[-1]) if read else ""}
    if not read:
        content = {"type": "tool_use", "id": "1", "name": "execute_code", "input": {"code": CODE}}
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [content],
        "stop_reason": "end_turn" if read else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _gemini(body: dict[str, Any]) -> dict[str, Any]:
    sent = [part for content in body["contents"] for part in content["parts"]]
    read = [one["functionResponse"]["response"] for one in sent if "functionResponse" in one]
    part: dict[str, Any] = {"functionCall": {"name": "execute_code", "args": {"code": CODE}}}
    if read:
        part = {"text": _answer(read[-1]["result"])}
    content = {"role": "model", "parts": [part]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}


def _answer(value: Any) -> str:
    text = value if isinstance(value, str) else value[0]["text"]
    return f"They cost {text} euros together."


_PATHS = {
    "/responses": _responses,
    "/chat/completions": _chat,
    "/messages": _messages,
    "/models/gemini-2.5-flash:generateContent": _gemini,
}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0].removeprefix("/v1").removeprefix("beta")
        answer = json.dumps(_PATHS[path](body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def provider() -> Iterator[dict[str, str]]:
    """Yield the variables of the environment by which the SDKs find the provider."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        yield {
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": f"{address}/v1",
            "ANTHROPIC_API_KEY": "none",
            "ANTHROPIC_BASE_URL": address,
            "GOOGLE_API_KEY": "none",
            "GOOGLE_GEMINI_BASE_URL": address,
            # The Agents SDK would send its traces to OpenAI.
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            **quiet_crewai(),
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
