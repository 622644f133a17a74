"""A program that uses every public name as users do, for type checkers; it is never run.

Each ignored error proves that the checkers see a mistake there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal, assert_type

from django.http import HttpRequest, HttpResponse
from django.urls import path

from codemode import (
    Artifact,
    ClientClosedError,
    ClientConfig,
    Codemode,
    CodemodeError,
    ComponentRegistry,
    ConfigurationError,
    ExecutionError,
    ExecutionResult,
    ExecutorAuthenticationError,
    ExecutorBusyError,
    ExecutorClient,
    ExecutorClientError,
    ExecutorConfig,
    ExecutorConnectionError,
    ExecutorDeadlineError,
    ExecutorProtocolError,
    ExecutorRequestError,
    InvalidRequestError,
    Limits,
    Recording,
    RecordingFormatError,
    RuntimeContext,
    TLSConfig,
    ToolError,
    ToolRegistrationError,
    ValueDecodingError,
    ValueEncodingError,
    get_current_context,
    get_current_execution,
    tool,
)
from codemode.catalogue import Catalogue
from codemode.core.events import (
    Event,
    ExecutionCompleted,
    ExecutionStarted,
    OutputReceived,
    ProgressReported,
    ToolCallFinished,
    ToolCallStarted,
)
from codemode.core.executor_info import ExecutorInfo
from codemode.core.recorder import EndRun, Recorder
from codemode.core.recording import RecordedCall
from codemode.core.result import ExecutionFailure, ExecutionStatus, ToolCallRecord, Usage
from codemode.core.session import Session
from codemode.testing import CassetteMode, CassetteRun
from codemode.tools import (
    InvalidArguments,
    Tool,
    ToolCallRefused,
    ToolFailed,
    ToolPermissionDenied,
    ToolTimeout,
    UnknownTool,
    make_tool,
    render_stubs,
    tool_from_schema,
)
from codemode.values import decode, encode, register_converter, to_text
from django_codemode import SYSTEM, get_codemode, register_tool, run_atomic
from django_codemode.asgi import CodemodeASGIMiddleware
from django_codemode.consumers import CodemodeConsumer
from django_codemode.middleware import CodemodeMiddleware
from django_codemode.signals import execution_finished, execution_started, tool_called
from django_codemode.testing import (
    Cassette,
    CassetteError,
    CodemodeTester,
    CodemodeTestMixin,
    Replacement,
    close_executor,
    run_as,
    runtime_context,
    use_cassette,
)
from django_codemode.views import (
    AsyncExecuteView,
    CodemodeView,
    ExecuteView,
    HealthView,
    StreamView,
    ToolsView,
)

# A decorated tool keeps its type.


@tool
def price(sku: str, amount: int = 1) -> float:
    return float(amount)


@tool(
    name="orders.stock",
    description="…",
    permission="shop.view_stock",
    thread_sensitive=False,
    effects="reads",
    tags=["shelf"],
)
def stock(sku: str) -> int:
    return 3


@tool
async def rate(currency: str) -> float:
    context = get_current_context()
    assert_type(context, RuntimeContext | None)
    if context is None:
        raise ToolError("no context")
    assert_type(context["tenant_id"], Any)
    assert_type(context.get("tenant_id"), Any)
    if (execution := get_current_execution()) is not None:
        assert_type(execution.execution_id, str)
        assert_type(execution.tool, str)
        assert_type(execution.deadline, float)
    return 1.0


@tool(description="…")
class Weather:
    def run(self, city: str) -> dict[str, Any]:
        raise ToolCallRefused(f"no weather of {city}")


class Warehouse:
    @tool
    def count(self, sku: str) -> int:
        return len(sku)


assert_type(price("a", amount=2), float)
assert_type(stock("a"), int)
assert_type(Weather().run(city="Oslo"), dict[str, Any])
assert_type(Warehouse().count("a"), int)
price("a", amount="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
tool(effects="read")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
tool(title="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]

made: Tool = make_tool("price", price)
assert_type(render_stubs([made]), str)
foreign: Tool = tool_from_schema(
    "issues.get", {"type": "object"}, price, output_schema={"type": "string"}, asynchronous=False
)
REFUSALS: tuple[type[ToolError], ...] = (InvalidArguments, ToolCallRefused, ToolPermissionDenied)
FAILURES: tuple[type[ToolError], ...] = (ToolFailed, ToolTimeout, UnknownTool)

# Settings accept the types of values that users write, without a plugin of the checker.

limits = Limits(execution_timeout=5, max_threads=3)
tls = TLSConfig(ca_file="server.pem", cert_file=Path("client.pem"), key_file="client.key")
config = ClientConfig(
    executor_url="https://localhost:8001",
    executor_api_key="…",
    limits=limits,
    tls=tls,
    profile="data",
    executor_log_file="executor.log",
)
embedded = ClientConfig(min_tier="A")
ClientConfig(executor_uri="…")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ClientConfig(min_tier="Z")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Limits(execution_timeout="long")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(config.limits, Limits)
assert_type(config.executor_url, str | None)
assert_type(tls.ca_file, Path | None)
assert_type(ClientConfig.from_env(profile="data"), ClientConfig)
executor_config = ExecutorConfig(
    listen=["unix:/run/codemode/socket"],
    api_key="…",
    tls=tls,
    min_tier="B",
    limits=limits,
    ceilings={"max_threads": 64},
    max_concurrency=8,
    packages=["/srv/packages"],
    warm_profiles=("default", "data"),
)
assert_type(executor_config.listen, tuple[str, ...])
assert_type(ExecutorConfig.from_env(), ExecutorConfig)

# Executions, by both halves.


def told(event: Event) -> str:
    """Narrow an event by the name of its type."""
    match event.type:
        case "started":
            assert_type(event, ExecutionStarted)
            return event.isolation
        case "output":
            assert_type(event, OutputReceived)
            assert_type(event.stream, Literal["stdout", "stderr"])
            return event.text
        case "tool_call_started":
            assert_type(event, ToolCallStarted)
            return f"{event.name} {event.arguments}"
        case "tool_call_finished":
            assert_type(event, ToolCallFinished)
            return f"{event.outcome} {event.at_ms} {event.value}"
        case "progress":
            assert_type(event, ProgressReported)
            return f"{event.done} {event.note}"
        case "completed":
            assert_type(event, ExecutionCompleted)
            return event.result.status


def told_by_class(event: Event) -> str:
    match event:
        case OutputReceived(text=text):
            return text
        case ExecutionCompleted(result=result):
            return str(result.value)
        case _:
            return event.type


def outcome(result: ExecutionResult) -> str:
    assert_type(result.value, Any)
    assert_type(result.stdout, str)
    assert_type(result.hints, tuple[str, ...])
    for given in result.artifacts:
        assert_type(given, Artifact)
        assert_type((given.name, given.media_type), tuple[str, str])
        assert_type((given.data, given.is_image, given.summary), tuple[bytes, bool, str])
    assert_type(result.for_model(max_chars=500), str)
    assert_type(result.error, ExecutionFailure | None)
    assert_type(result.tool_calls, tuple[ToolCallRecord, ...])
    assert_type(result.usage, Usage)
    status: ExecutionStatus = result.status
    if status == "complete":  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]
        return "unreachable"
    return result.text


def replayed(codemode: Codemode, data: bytes, recorder: Recorder) -> Recording:
    recording = Recording.from_bytes(data, max_bytes=1_000_000)
    assert_type(recording.calls, tuple[RecordedCall, ...])
    assert_type(recording.calls[0].arguments, dict[str, Any])
    assert_type(recording.complete, bool)
    assert_type(recording.to_bytes(), bytes)
    result = codemode.run("1", recording=recording.cut(after=1))
    if result.status == "diverged":
        raise EndRun("cancelled", "Paused", "…")
    codemode.client.execute("1", recording=recording, recorder=recorder, execution_id="1")
    return recording


registry = ComponentRegistry()
assert_type(registry.register_tool("price", price), Tool)
assert_type(registry.tools["price"].input_schema, dict[str, Any])


@registry.context(tenant_id="acme")
def within(number: int) -> str:
    return str(number)


assert_type(within(1), str)


def execute() -> None:
    client = ExecutorClient(
        "http://localhost:8001", "…", registry=registry, timeout=3, tls=None, limits=limits
    )
    assert_type(
        client.execute("1", ["price"], {"max_threads": 3}, context=RuntimeContext({"a": 1})),
        ExecutionResult,
    )
    assert_type(client.info(), ExecutorInfo)
    with Codemode(client) as codemode, registry.context(tenant_id="acme") as context:
        assert_type(context, RuntimeContext)
        assert_type(codemode.with_context(tenant_id="acme"), Codemode)
        assert_type(codemode.execute("1"), str)
        codemode.call_tool("price", {"sku": "tea"}, available_tools=["price"], execution_timeout=3)
        assert_type(codemode.catalogue(["price"], max_tokens=500, notes=False), Catalogue)
        assert_type(codemode.instructions(max_tokens=500), str)
        result = codemode.run("n", inputs={"n": 1}, available_tools=[], execution_timeout=3)
        assert_type(result, ExecutionResult)
        with codemode.stream("1") as events:
            for event in events:
                assert_type(event, Event)
        with codemode.session(idle_timeout=3) as session:
            assert_type(session, Session)
            assert_type(session.run("1"), ExecutionResult)


async def execute_async() -> AsyncIterator[str]:
    async with Codemode.from_client_config(config, registry=registry) as codemode:
        assert_type(await codemode.execute_async("1"), str)
        assert_type((await codemode.catalogue_async()).tokens, int)
        assert_type(await codemode.instructions_async(), str)
        assert_type(await codemode.run_async("1"), ExecutionResult)
        await codemode.call_tool_async("price")
        assert_type(await codemode.client.info_async(), ExecutorInfo)
        async with codemode.stream("1") as events:
            async for event in events:
                yield told(event)
        async with codemode.session() as session:
            async for event in session.stream("1"):
                yield told_by_class(event)


def guarded(codemode: Codemode) -> ExecutionResult | None:
    try:
        codemode.execute("1")
    except ExecutionError as error:
        return error.result
    except ExecutorBusyError as error:
        assert_type(error.retry_after, float)
        return error.result
    except (
        ClientClosedError,
        ExecutorAuthenticationError,
        ExecutorConnectionError,
        ExecutorDeadlineError,
        ExecutorProtocolError,
        ExecutorRequestError,
    ) as error:
        return error.result
    except ExecutorClientError as error:
        return error.result
    except (
        ConfigurationError,
        InvalidRequestError,
        RecordingFormatError,
        ToolRegistrationError,
        ValueDecodingError,
        ValueEncodingError,
    ):
        return None
    except CodemodeError:
        return None
    return None


# Values.


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


register_converter(Money, lambda money: money.cents)
assert_type(encode(1), bytes)
assert_type(decode(b""), Any)
assert_type(to_text(1), str)

# Django.


class OwnView(ExecuteView):
    def get_context(self, request: HttpRequest) -> RuntimeContext:
        return RuntimeContext({"user": request.user})


class OwnConsumer(CodemodeConsumer):
    max_at_once = 2


VIEWS: tuple[type[CodemodeView], ...] = (ExecuteView, AsyncExecuteView, StreamView, ToolsView)
urlpatterns = [
    path("run/", OwnView.as_view()),
    path("health/", HealthView.as_view()),
]
application = CodemodeASGIMiddleware(OwnConsumer.as_asgi())


def answer(request: HttpRequest) -> HttpResponse:
    with runtime_context(user=SYSTEM):
        return HttpResponse(get_codemode().execute("1"))


assert_type(run_atomic("1", using="default", inputs={"x": 1}), ExecutionResult)
CodemodeMiddleware(answer)
register_tool("price", price)


def receiver(sender: object, **told_by_signal: object) -> None: ...


for signal in (execution_started, execution_finished, tool_called):
    signal.connect(receiver)


class Tests(CodemodeTestMixin):
    @run_as(None)
    def test(self) -> None:
        assert_type(self.codemode, CodemodeTester)
        with self.codemode.replace_tool("price", price) as replacement:
            assert_type(replacement, Replacement)
            assert_type(self.codemode.run("1"), ExecutionResult)
        assert_type(self.codemode.assert_called("price"), ToolCallRecord)

    def test_recorded(self) -> None:
        try:
            with use_cassette("price.json", mode="record") as cassette:
                assert_type(cassette, Cassette)
                assert_type(cassette.runs, list[CassetteRun])
                assert_type(cassette.mode, CassetteMode)
        except CassetteError as error:
            assert_type(error, CassetteError)


close_executor()
