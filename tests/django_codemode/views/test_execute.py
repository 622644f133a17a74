from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, TestCase, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from codemode import Codemode, ExecutorClient
from codemode.core.context import RuntimeContext, get_current_context
from codemode.core.result import ExecutionResult
from codemode.errors import (
    ExecutorAuthenticationError,
    ExecutorBusyError,
    ExecutorClientError,
    ExecutorConnectionError,
    ExecutorDeadlineError,
    ExecutorProtocolError,
    ExecutorRequestError,
)
from django_codemode.payload import result_as_json
from django_codemode.refusals import RefusalError
from django_codemode.shared import shared
from django_codemode.views import AsyncExecuteView, ExecuteView

pytestmark = pytest.mark.django_db

URL = "/codemode/execute/"


@pytest.fixture
def client(coder: User) -> Client:
    client = Client()
    client.force_login(coder)
    return client


def post(client: Client, body: Any, **kwargs: Any) -> Any:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(URL, data, content_type="application/json", **kwargs)


def run(client: Client, code: str, **arguments: Any) -> Any:
    response = post(client, {"code": code, **arguments})
    assert response.status_code == 200, response.text
    return response.json()


def refusal(client: Client, body: Any, status: int = 400) -> Any:
    response = post(client, body)
    assert response.status_code == status, response.text
    assert response.json()["result"] is None
    return response.json()["error"]


def test_the_answer_is_the_whole_outcome(client: Client) -> None:
    outcome = run(client, "print('hi'); result = {'n': testapp.lazy()[0], 'x': x}", inputs={"x": 1})

    assert outcome["status"] == "completed"
    assert outcome["value"] == {"n": "Save", "x": 1}
    assert outcome["text"] == 'Output:\nhi\n\nResult:\n{"n": "Save", "x": 1}'
    assert outcome["hints"] == []
    assert outcome["artifacts"] == []
    assert outcome["stdout"] == "hi\n"
    assert outcome["stderr"] == ""
    assert outcome["error"] is None
    assert outcome["execution_id"]
    assert outcome["duration_ms"] > 0
    assert outcome["usage"]["tool_calls"] == 1
    [call] = outcome["tool_calls"]
    assert call == {
        "name": "testapp.lazy",
        "arguments": {},
        "outcome": "completed",
        "duration_ms": call["duration_ms"],
        "error": None,
    }


def test_the_answer_has_hints_and_the_text_for_a_model(client: Client) -> None:
    outcome = run(client, "async def main(): pass\nx = main()")
    hint = "main(...) in x was called but never awaited, so it has not run; write await main(...)"
    assert outcome["hints"] == [hint]
    assert outcome["text"] == f"Hint: {hint}"
    outcome = run(client, "'x' * 3_000_000")
    assert len(outcome["value"]) == 3_000_000
    assert len(outcome["text"]) == 20_000
    outcome = run(client, "1/0")
    assert outcome["text"] == "Failed: ZeroDivisionError: division by zero\nLine 1: 1/0"
    assert outcome["error"]["source_line"] == "1/0"


def test_artifacts_are_in_the_answer(client: Client) -> None:
    code = "open('a.html', 'w').write('<script>')\nartifact('a.html')\n1 / 0"
    outcome = run(client, code)
    assert outcome["status"] == "failed"
    assert outcome["artifacts"] == [
        {
            "name": "a.html",
            "media_type": "application/octet-stream",
            "size": 8,
            "data": "PHNjcmlwdD4=",
        }
    ]


def test_values_that_json_lacks_arrive_as_in_the_text_for_a_model(client: Client) -> None:
    code = "import decimal, datetime, math\n[decimal.Decimal('1.10'), datetime.date(2026, 1, 2), {3}, math.nan]"
    assert run(client, code)["value"] == ["1.10", "2026-01-02", [3], None]
    assert run(client, "'plain'")["value"] == "plain"


@pytest.mark.parametrize(
    "value", ["\0" * 12_000_000, {"a": ["\0" * 12_000_000]}], ids=["str", "dict"]
)
def test_a_value_that_json_makes_much_larger_is_left_out(value: Any) -> None:
    result = ExecutionResult(status="completed", execution_id="e", value=value, stdout="printed")
    answer = result_as_json(result)
    assert (answer["status"], answer["value"]) == ("limit", None)
    assert answer["text"].startswith("Stopped by a limit: ResultLimit: the result has ")
    assert answer["error"]["type"] == "ResultLimit"
    assert "characters as JSON; at most 67,108,864" in answer["error"]["message"]
    assert answer["stdout"] == "printed"
    honest = replace(result, value=["a" * 16_000_000])
    assert result_as_json(honest)["value"] == honest.value


def test_code_that_fails_is_an_answer_and_not_an_error_of_the_request(client: Client) -> None:
    outcome = run(client, "print('before')\n1/0")

    assert outcome["status"] == "failed"
    assert outcome["stdout"] == "before\n"
    assert outcome["error"]["type"] == "ZeroDivisionError"
    assert outcome["error"]["line"] == 2
    assert "ZeroDivisionError" in outcome["error"]["traceback"]


def test_a_request_may_narrow_the_tools_and_the_time(client: Client) -> None:
    assert run(client, "testapp.lazy()", available_tools=[])["error"]["type"] == "NameError"
    outcome = run(client, "while True: pass", execution_timeout=0.5)
    assert outcome["status"] == "timeout"


class TestPermission:
    def test_an_anonymous_request_gets_401(self) -> None:
        assert refusal(Client(), {"code": "1"}, 401)["code"] == "not_authenticated"

    def test_a_user_without_the_permission_gets_403(self) -> None:
        client = Client()
        client.force_login(User.objects.create_user("other"))
        assert refusal(client, {"code": "1"}, 403)["code"] == "not_permitted"

    def test_an_inactive_user_gets_no_permission(self, client: Client, coder: User) -> None:
        coder.is_active = False
        coder.save()
        assert refusal(client, {"code": "1"}, 401)["code"] == "not_authenticated"

    def test_an_inactive_superuser_gets_403(self) -> None:
        request = RequestFactory().post(URL, "{}", content_type="application/json")
        request.user = User(username="root", is_active=False, is_superuser=True)
        assert ExecuteView.as_view()(request).status_code == 403

    def test_without_authentication_nobody_executes(self) -> None:
        request = RequestFactory().post(URL, '{"code": "1"}', content_type="application/json")
        assert ExecuteView.as_view()(request).status_code == 401
        request.user = AnonymousUser()
        assert ExecuteView.as_view()(request).status_code == 401

    def test_the_permission_is_checked_before_the_body_is_read(self) -> None:
        assert refusal(Client(), "not json", 401)["code"] == "not_authenticated"

    def test_a_superuser_executes(self) -> None:
        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        assert run(client, "testapp.secret()")["value"] == "the secret"

    def test_a_tool_asks_for_its_own_permission(self, client: Client, coder: User) -> None:
        assert run(client, "testapp.secret()")["status"] == "failed"
        coder.user_permissions.add(Permission.objects.get(codename="add_refund"))
        assert run(client, "testapp.secret()")["value"] == "the secret"

    def test_csrf_is_checked(self, coder: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(coder)
        assert post(client, {"code": "1"}).status_code == 403


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (" ", "invalid_json", "the body is not JSON"),
        ("{", "invalid_json", "the body is not JSON"),
        (b"\xff", "invalid_json", "the body is not JSON"),
        ('{"code": "1", "inputs": {"x": NaN}}', "invalid_json", "NaN is not JSON; use null"),
        ("[" * 100_000, "invalid_json", "the body is not JSON"),
        (
            '{"code": "1", "inputs": {"x": ' + "9" * 5000 + "}}",
            "invalid_json",
            "the body is not JSON",
        ),
        (["1"], "invalid_json", "the body is a JSON array; expected an object"),
        ({}, "missing_code", "put the Python to run there"),
        ({"code": "1", "input": {}}, "unknown_key", "did you mean 'inputs'?"),
        ({"code": "1", "zzz": {}}, "unknown_key", "expected code, inputs, available_tools"),
        ({"code": 5}, "invalid_code", "'code' is a JSON number (5); expected a string of Python"),
        ({"code": None}, "invalid_code", "'code' is a JSON null"),
        ('{"code": "\\ud800"}', "invalid_code", "half of a surrogate pair at 0"),
        ({"code": "1", "inputs": []}, "invalid_inputs", "'inputs' is a JSON array"),
        ({"code": "1", "inputs": {"a b": 1}}, "invalid_inputs", "expected a Python identifier"),
        ('{"code": "1", "inputs": {"x": "\\ud800"}}', "invalid_inputs", "inputs"),
        ({"code": "1", "available_tools": "a"}, "invalid_available_tools", "[] for none"),
        ({"code": "1", "available_tools": [1]}, "invalid_available_tools", "[] for none"),
        ({"code": "1", "available_tools": ["list_ordes"]}, "unknown_tool", "mean 'list_orders'?"),
        ({"code": "1", "execution_timeout": "1"}, "invalid_execution_timeout", "above 0"),
        ({"code": "1", "execution_timeout": True}, "invalid_execution_timeout", "above 0"),
        ({"code": "1", "execution_timeout": 0}, "invalid_execution_timeout", "above 0"),
        ('{"code": "1", "execution_timeout": 1e999}', "invalid_execution_timeout", "above 0"),
        ({"code": "1", "execution_timeout": 31}, "invalid_execution_timeout", "30 at most"),
        ({"code": "1", "execution_timeout": 10**400}, "invalid_execution_timeout", "30 at most"),
    ],
)
def test_a_bad_request_gets_an_error_with_the_fix(
    client: Client, body: Any, code: str, message: str
) -> None:
    error = refusal(client, body)

    assert error["code"] == code
    assert message in error["message"]


def test_the_error_of_an_unknown_name_suggests_no_hidden_tool(client: Client, coder: User) -> None:
    body = {"code": "1", "available_tools": ["refnd"]}
    assert "refund" not in refusal(client, body)["message"]
    coder.user_permissions.add(Permission.objects.get(codename="add_refund"))
    assert "did you mean 'refund'?" in refusal(client, body)["message"]


class TestBody:
    def test_the_body_must_be_json(self, client: Client) -> None:
        response = client.post(URL, {"code": "1"})
        assert response.status_code == 415
        assert response.json()["error"]["code"] == "not_json"

    def test_the_size_of_the_body_is_bounded(self, client: Client) -> None:
        with override_settings(CODEMODE={"MAX_REQUEST_BYTES": 100}):
            assert run(client, "1")["value"] == 1
            assert refusal(client, {"code": "#" * 100}, 413)["code"] == "body_too_large"

    def test_djangos_own_bound_of_the_body_holds_too(self, client: Client) -> None:
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=50):
            assert refusal(client, {"code": "#" * 100}, 413)["code"] == "body_too_large"
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=None):
            assert run(client, "1")["value"] == 1

    def test_a_body_of_undeclared_length_is_read_no_further_than_allowed(self, coder: User) -> None:
        class Endless:
            taken = 0

            def read(self, size: int = -1) -> bytes:
                assert 0 < size < 1000
                self.taken += size
                return b" " * size

        body = Endless()
        request = RequestFactory().post(URL, content_type="application/json")
        del request.META["CONTENT_LENGTH"]
        vars(request)["_stream"] = body
        request.user = coder
        with override_settings(CODEMODE={"MAX_REQUEST_BYTES": 100}):
            assert ExecuteView.as_view()(request).status_code == 413
        assert body.taken == 101

    def test_a_hook_and_a_middleware_may_read_the_body_too(self, coder: User) -> None:
        bodies: list[bytes] = []

        class NotingView(ExecuteView):
            def get_context(self, request: HttpRequest) -> RuntimeContext:
                bodies.append(request.body)
                return RuntimeContext({})

        for early in (True, False):
            request = RequestFactory().post(URL, '{"code": "1"}', content_type="application/json")
            request.user = coder
            if early:
                bodies.append(request.body)
            assert NotingView.as_view()(request).status_code == 200
        assert bodies == [b'{"code": "1"}'] * 3

    @pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head"])
    def test_only_post_executes(self, client: Client, method: str) -> None:
        assert getattr(client, method)(URL).status_code == 405


def user_only(request: HttpRequest) -> dict[str, Any]:
    return {"user": request.user}


class TestTokens:
    """A view that authenticates the user itself, after every middleware."""

    @pytest.fixture
    def by_token(self, coder: User) -> Any:
        view = ExecuteView.as_view()

        def authenticated(request: HttpRequest) -> Any:
            context = get_current_context()
            assert context is not None
            self.request_id = context.get("request_id")
            str(context["user"])  # as logging may do
            request.user = coder
            return view(request)

        return csrf_exempt(authenticated)

    @pytest.mark.parametrize(
        "setting", [{}, {"CONTEXT_PROVIDER": user_only}], ids=["default", "own"]
    )
    @pytest.mark.parametrize("logged_in", [False, True])
    def test_tools_act_as_the_user_who_was_let_in(
        self, by_token: Any, logged_in: bool, setting: Any
    ) -> None:
        client = Client(enforce_csrf_checks=True)
        if logged_in:
            client.force_login(User.objects.create_superuser("root"))
        urls = (path("codemode/execute/", by_token),)
        with override_settings(ROOT_URLCONF=urls, CODEMODE=setting):
            told = run(client, "testapp.whoami()")["value"]
            assert told["user"] == "coder"
            assert told.get("request_id") == self.request_id
            told = run(client, "testapp.secret()")["error"]
        assert told["type"] == "PermissionDeniedError"


class TestExecutorFailures:
    @pytest.fixture
    def unreachable(self) -> Iterator[None]:
        unreachable = {"EXECUTOR_URL": "http://127.0.0.1:1", "CONNECT_TIMEOUT": 0}
        with override_settings(CODEMODE=unreachable):
            yield

    @pytest.mark.usefixtures("unreachable")
    def test_a_missing_executor_is_503_with_retry_after(self, client: Client) -> None:
        response = post(client, {"code": "1"})

        assert response.status_code == 503
        assert response.json()["error"]["code"] == "unavailable"
        assert response.headers["Retry-After"] == "1"
        assert "127.0.0.1" not in response.text

    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (ExecutorBusyError("busy", retry_after=2.4), 503, "busy"),
            (ExecutorDeadlineError("inner:1"), 504, "executor_timeout"),
            (ExecutorAuthenticationError("inner:1"), 502, "executor_failed"),
            (ExecutorProtocolError("inner:1"), 502, "executor_failed"),
            (ExecutorRequestError("max_threads is above 128"), 400, "refused_by_executor"),
            (ExecutorConnectionError("inner:1"), 503, "unavailable"),
        ],
    )
    def test_each_failure_has_its_status_and_names_no_inner_host(
        self, coder: User, error: ExecutorClientError, status: int, code: str
    ) -> None:
        class FailingClient(ExecutorClient):
            def execute(self, *args: Any, **kwargs: Any) -> Any:
                raise error

        class FailingView(ExecuteView):
            def get_codemode(self) -> Codemode:
                return Codemode(FailingClient("http://127.0.0.1:1"))

        request = RequestFactory().post(URL, '{"code": "1"}', content_type="application/json")
        request.user = coder
        response: Any = FailingView.as_view()(request)

        assert response.status_code == status
        answer = json.loads(response.content)
        assert answer["error"]["code"] == code
        assert "inner" not in answer["error"]["message"]
        if code == "busy":
            assert response.headers["Retry-After"] == "3"

    def test_an_executor_that_dies_during_the_run_is_502_with_the_record_so_far(
        self, client: Client
    ) -> None:
        def kill_executor() -> None:
            embedded = shared.codemode.client.embedded
            assert embedded is not None
            executor = psutil.Process(embedded.pid)
            executor.kill()
            executor.wait(60)

        shared.registry.register_tool("testapp_kill", kill_executor)
        try:
            response = post(client, {"code": "print('x'); testapp.lazy(); testapp_kill(); 1"})
        finally:
            shared.registry.unregister_tool("testapp_kill")

        assert response.status_code == 502
        assert [call["name"] for call in response.json()["result"]["tool_calls"]] == [
            "testapp.lazy",
            "testapp_kill",
        ]
        assert run(client, "1")["value"] == 1


WRONG = {"LIMITS": {"memory": 1}}


@pytest.mark.parametrize(
    "path", [URL, "/aexecute/", "/codemode/stream/", "/codemode/tools/", "/codemode/health/"]
)
def test_a_wrong_setting_is_reported_in_the_log_and_not_to_the_client(
    path: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    # Without the middleware, which would fail before the view.
    with override_settings(CODEMODE=WRONG, MIDDLEWARE=settings.MIDDLEWARE[:-1]):
        if path.endswith(("tools/", "health/")):
            response: Any = client.get(path)
        else:
            response = client.post(path, {"code": "1"}, content_type="application/json")

    assert "memory" in caplog.text
    assert "memory" not in response.text
    if path.endswith("health/"):
        assert (response.status_code, response.json()) == (503, {"status": "unavailable"})
    else:
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "not_configured"


def test_a_project_refuses_in_its_own_words(coder: User) -> None:
    class PlainView(ExecuteView):
        def refuse(self, request: HttpRequest, refusal: RefusalError) -> HttpResponse:
            return HttpResponse(f"no: {refusal.code}", status=refusal.status)

    request = RequestFactory().post(URL, "{}", content_type="application/json")
    request.user = coder
    response: Any = PlainView.as_view()(request)
    assert (response.status_code, response.content) == (400, b"no: missing_code")


def test_repeated_names_of_tools_count_once(client: Client) -> None:
    names = [name for _ in range(2_000) for name in ("testapp.*", "testapp.lazy")]
    code = "[name for name in tools.names() if name == 'testapp.lazy']"
    assert run(client, code, available_tools=names)["value"] == ["testapp.lazy"]


class TestContext:
    def test_tools_see_the_requests_user_and_id(self, client: Client) -> None:
        for name in ("testapp.whoami()", "await testapp.awhoami()"):
            response = post(client, {"code": name}, headers={"X-Request-ID": "r-1"})
            assert response.json()["value"] == {"request_id": "r-1", "user": "coder"}

    def test_the_middleware_is_not_needed(self, client: Client) -> None:
        with override_settings(MIDDLEWARE=settings.MIDDLEWARE[:-1]):
            assert run(client, "testapp.whoami()")["value"]["user"] == "coder"

    def test_a_hook_may_return_the_context_as_a_mapping(self, coder: User) -> None:
        class TenantView(ExecuteView):
            def get_context(self, request: HttpRequest) -> dict[str, str]:
                return {"tenant_id": "acme"}

        request = RequestFactory().post(
            URL, {"code": "testapp.whoami()"}, content_type="application/json"
        )
        request.user = coder
        answer: Any = TenantView.as_view()(request)
        assert json.loads(answer.content)["value"] == {"tenant_id": "acme"}


class AsynchronousStackTests(TestCase):
    async def test_the_view_answers_with_the_requests_user(self) -> None:
        user = await User.objects.acreate(username="root", is_superuser=True)
        await self.async_client.aforce_login(user)

        response = await self.async_client.post(
            URL, {"code": "await testapp.awhoami()"}, content_type="application/json"
        )

        assert response.status_code == 200
        assert response.json()["value"]["user"] == "root"


@pytest.mark.parametrize("kind", [ExecuteView, AsyncExecuteView])
async def test_a_permission_check_that_would_have_to_be_awaited_lets_nobody_in(
    kind: type[Any],
) -> None:
    class LateView(kind):  # type: ignore[misc]
        async def check_permission(self, request: HttpRequest) -> None:
            raise RefusalError("forbidden", "not you", status=403)

    request = RequestFactory().post(URL, {"code": "1"}, content_type="application/json")
    request.user = AnonymousUser()
    view = LateView.as_view()
    with pytest.raises(TypeError, match="check_permission is asynchronous and was not run"):
        if kind is AsyncExecuteView:
            await view(request)
        else:
            await sync_to_async(view)(request)


def test_a_fault_of_the_host_is_reported_in_the_log_and_not_to_the_client(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    tls = {"ca_file": "/no/such/authority.pem"}
    with override_settings(CODEMODE={"EXECUTOR_URL": "https://127.0.0.1:9", "TLS": tls}):
        error = refusal(client, {"code": "1"}, 500)

    assert error["code"] == "not_configured"
    assert "authority" not in error["message"]
    assert "authority" in caplog.text
