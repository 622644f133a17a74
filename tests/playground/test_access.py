"""Access to the playground, and to running code in it, over HTTP."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import Client, override_settings

from codemode import Codemode
from codemode.core.registry import ComponentRegistry
from django_codemode.playground.views import PlaygroundView
from django_codemode.tool_checks import FIRST_TOOL, where_tools_go
from tests.playground.codemode_tools import HOSTILE
from tests.playground.site import PAGE, STREAM, Site, post, token

Visit = Callable[[str | None], httpx.Client]


def stream(client: httpx.Client, code: str, csrf: str, path: str = STREAM) -> httpx.Response:
    return client.post(path, json={"code": code}, headers={"X-XSRF-Token": csrf})


def events_in(text: str) -> list[tuple[str, Any]]:
    """Return the name and the data of each server-sent event."""
    found = re.findall(r"^event: (\w+)\ndata: (.*)$", text, re.MULTILINE)
    return [(name, json.loads(data)) for name, data in found]


def csrf_of(client: httpx.Client) -> str:
    return token(client.get(PAGE).text)["csrfmiddlewaretoken"]


def test_staff_with_the_permission_find_the_playground_in_the_index(visit: Visit) -> None:
    assert f'href="{PAGE}"' in visit("coder").get("/admin/").text
    assert visit("coder").get(PAGE).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_staff_without_the_permission_get_403_and_no_link(visit: Visit, method: str) -> None:
    editor = visit("editor")
    login = visit(None).get("/admin/login/")
    editor.cookies.update(login.cookies)
    assert "codepermission" not in editor.get("/admin/").text
    form = {"code": "1", **token(login.text)} if method == "POST" else None
    answer = editor.request(method, PAGE, data=form)
    assert answer.status_code == 403
    assert "CSRF" not in answer.text


def test_the_permission_without_being_staff_is_not_enough(visit: Visit) -> None:
    outsider = visit("outsider")
    login = visit(None).get("/admin/login/")
    outsider.cookies.update(login.cookies)

    assert outsider.get(PAGE).status_code == 403
    answer = stream(outsider, "1", token(login.text)["csrfmiddlewaretoken"])
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "not_permitted"


def test_an_anonymous_visitor_is_redirected_to_the_login(visit: Visit) -> None:
    answer = visit(None).get(PAGE)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/admin/login/?next={PAGE}"


@pytest.mark.parametrize(("person", "status"), [(None, 401), ("editor", 403)])
def test_the_stream_refuses_in_json(visit: Visit, person: str | None, status: int) -> None:
    client = visit(person)
    login = visit(None).get("/admin/login/")
    client.cookies.update(login.cookies)
    answer = stream(client, "1", token(login.text)["csrfmiddlewaretoken"])
    assert answer.status_code == status
    assert answer.json()["error"]["code"] in {"not_authenticated", "not_permitted"}


@pytest.mark.parametrize("path", [PAGE, STREAM])
def test_a_forged_request_runs_nothing(visit: Visit, path: str) -> None:
    coder = visit("coder")
    coder.get(PAGE)
    assert coder.post(path, data={"code": "1"}).status_code == 403


@pytest.mark.no_retry
def test_each_user_sees_and_calls_the_permitted_tools(visit: Visit) -> None:
    assert 'data-name="refund"' not in visit("coder").get(PAGE).text
    assert 'data-name="refund"' in visit("clerk").get(PAGE).text
    assert (
        "<strong>PermissionDeniedError</strong>"
        in post(visit("coder"), "refund(order_id=0, amount=1, reason='x')").text
    )
    assert "DoesNotExist" in post(visit("clerk"), "refund(order_id=0, amount=1, reason='x')").text


@pytest.mark.no_retry
def test_tools_act_in_the_context_that_the_page_shows(visit: Visit) -> None:
    answer = post(
        visit("coder"), "sorted(whoami().values())", headers={"X-Request-ID": "of-this-run"}
    )

    for value in ("coder", "nordlicht", "of-this-run"):
        assert f"<dd>{value}</dd>" in answer.text
        assert f'<span class="codemode-leaf-value" data-kind="str">{value}</span>' in answer.text


class TestWithoutJavaScript:
    def test_the_form_runs_the_code_and_shows_all_of_it(self, visit: Visit) -> None:
        answer = post(visit("coder"), "print('said <b>')\r\n[o['id'] for o in list_orders()][:2]")

        assert answer.status_code == 200
        assert "Completed in" in answer.text
        assert "100 rows, the first 20 shown" in answer.text
        assert "<span>said &lt;b&gt;\n</span>" in answer.text
        assert "list of 2 items" in answer.text
        assert '<span class="codemode-call-name">list_orders</span>' in answer.text
        assert "print(&#x27;said &lt;b&gt;&#x27;)" in answer.text

    def test_code_that_fails_shows_the_line(self, visit: Visit) -> None:
        answer = post(visit("coder"), "x = 1\r\nx / 0")
        assert "<strong>ZeroDivisionError</strong>: division by zero" in answer.text
        assert 'data-line="2"' in answer.text

    def test_the_text_for_a_model_and_the_hints_are_shown(self, visit: Visit) -> None:
        code = "x = 1\r\nx / 0"
        text = "Failed: ZeroDivisionError: division by zero\nLine 2: x / 0"
        assert f'<pre tabindex="0">{text}</pre>' in post(visit("coder"), code).text
        answer = post(visit("coder"), "async def f(): pass\r\nx = f()")
        hint = "Hint: f(...) in x was called but never awaited"
        assert f'<p class="help">{hint}' in answer.text
        assert f'<pre tabindex="0">{hint}' in answer.text

    def test_a_bar_begins_when_its_call_did(self, visit: Visit) -> None:
        answer = post(visit("coder"), "wait.s(0.2); wait.s(0.2)").text
        bars = re.findall(r'<rect x="([\d.]+)%" width="([\d.]+)%"', answer)
        [(first, width), (second, _)] = [tuple(map(float, bar)) for bar in bars]
        assert width > 0
        assert second > first + width - 1

    def test_code_that_is_too_large_is_refused_on_the_page(self, visit: Visit) -> None:
        answer = post(visit("coder"), "x" * (1024 * 1024 + 1))
        assert answer.status_code == 413
        assert "the code has more than 1,048,576 bytes" in answer.text

    def test_inputs_are_variables_and_wrong_ones_are_refused_in_words(self, visit: Visit) -> None:
        coder = visit("coder")
        answer = post(coder, "big + 1", options={"inputs": f'{{"big": {10**30}}}'})
        assert f">{10**30 + 1}</pre>" in answer.text
        answer = post(coder, "1", options={"inputs": '{"big": }'})
        assert answer.status_code == 400
        assert "the inputs are not JSON: Expecting value" in answer.text
        assert "{&quot;big&quot;: }</textarea>" in answer.text

    def test_only_the_end_of_long_output_is_shown(self, visit: Visit) -> None:
        answer = post(visit("coder"), "print('x' * 150_000 + 'end')").text
        assert "The first 50004 characters are not shown" in answer
        assert f"{'x' * 99_996}end\n</span>" in answer

    def test_output_of_code_and_tools_is_escaped(self, visit: Visit) -> None:
        code = f"h = {HOSTILE!r}\nprint(h)\nhostile(h)\n[{{h: h}}, {{h: [h]}}]"
        answer = post(visit("coder"), code)

        assert "<img src=x" not in answer.text
        assert (
            answer.text.count(html.escape(HOSTILE)) == 6
        )  # tool, output, column, cell, text, value of the call

    @pytest.mark.parametrize(
        "code",
        [
            f"raise ValueError({HOSTILE!r})",
            f"fail({HOSTILE!r})",
            f"{HOSTILE!r}.encode()",
            f"{{{HOSTILE!r}: 1}}",
            f"raise type({HOSTILE!r}, (Exception,), {{}})",
        ],
    )
    def test_hostile_results_and_errors_are_escaped(self, visit: Visit, code: str) -> None:
        answer = post(visit("coder"), code)
        assert answer.status_code == 200
        assert "<img src=x" not in answer.text


class TestAsAnotherUser:
    """``refund`` is permitted to the clerk, not to the deputy, who may execute as others."""

    REFUND = "refund(order_id=0, amount=1, reason='x')"

    @pytest.mark.no_retry
    def test_tools_run_as_that_user_and_audits_name_the_real_one(self, visit: Visit) -> None:
        deputy = visit("deputy")
        assert "PermissionDeniedError" in post(deputy, self.REFUND).text
        answer = post(deputy, self.REFUND, options={"as_user": "clerk"})
        assert "DoesNotExist" in answer.text
        assert "<dt>real_user</dt><dd>deputy</dd>" in answer.text
        assert 'data-username="deputy"' in answer.text

        body = {"code": "last_audit() | {'tool sees': whoami()['user']}", "as_user": "clerk"}
        headers = {"X-XSRF-Token": csrf_of(deputy)}
        events = deputy.post(STREAM, json=body, headers=headers).text
        [html] = [data["html"] for name, data in events_in(events) if name == "completed"]
        for label, value in (("user", "clerk"), ("real_user", "deputy"), ("tool sees", "clerk")):
            assert (
                f'label">{label}</span> <span class="codemode-leaf-value" data-kind="str">{value}<'
                in html
            )

    @pytest.mark.no_retry
    @pytest.mark.parametrize(
        ("person", "name", "message"),
        [
            ("coder", "clerk", "requires the permission django_codemode.execute_as_user"),
            ("coder", "nobody", "requires the permission django_codemode.execute_as_user"),
            ("deputy", "boss", "&#x27;boss&#x27; is a superuser: only a superuser may"),
            ("deputy", "leaver", "there is no active user &#x27;leaver&#x27;"),
            ("deputy", "nobody", "there is no active user &#x27;nobody&#x27;"),
        ],
    )
    def test_it_is_refused_in_words_and_runs_nothing(
        self, visit: Visit, person: str, name: str, message: str
    ) -> None:
        client = visit(person)
        answer = post(client, "print('ran')", options={"as_user": name})
        assert message in answer.text
        assert "<span>ran" not in answer.text
        body = {"code": "print('ran')", "as_user": name}
        streamed = client.post(STREAM, json=body, headers={"X-XSRF-Token": csrf_of(client)})
        assert streamed.status_code == answer.status_code
        assert "ran" not in streamed.text

    def test_only_who_may_is_asked_for_a_user(self, visit: Visit) -> None:
        assert 'name="as_user"' in visit("deputy").get(PAGE).text
        assert 'name="as_user"' not in visit("coder").get(PAGE).text


@pytest.mark.parametrize(("key", "value"), [("profile", 5), ("as_user", "x" * 201)])
def test_the_stream_names_a_wrong_option(visit: Visit, key: str, value: object) -> None:
    coder = visit("coder")
    headers = {"X-XSRF-Token": csrf_of(coder)}
    answer = coder.post(STREAM, json={"code": "1", key: value}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == f"invalid_{key}"
    assert "expected a string" in answer.json()["error"]["message"]


def test_an_unknown_profile_is_refused_by_name(visit: Visit) -> None:
    answer = post(visit("coder"), "1", options={"profile": "nosuch"})
    assert "nosuch" in answer.text.partition('class="errornote"')[2][:200]


def test_a_second_admin_site_has_a_playground_of_its_own_with_other_tools(visit: Visit) -> None:
    coder = visit("coder")
    path = "/operations/django_codemode/codepermission/"
    page = coder.get(path).text

    assert f'data-stream-url="{path}stream/"' in page
    assert [part.partition('"')[0] for part in page.split('<li data-name="')[1:]] == ["list_orders"]
    csrf = token(page)["csrfmiddlewaretoken"]
    code = "try: whoami()\nexcept NameError: print(len(list_orders()))"
    assert '"text": "100\\n"' in stream(coder, code, csrf, f"{path}stream/").text
    assert "<span>100\n</span>" in post(coder, code, path).text


def test_the_playground_works_under_wsgi_without_the_middleware_and_within_the_rate(
    tmp_path: Path,
) -> None:
    environment = {"PLAYGROUND_WITHOUT_MIDDLEWARE": "1", "PLAYGROUND_RATE_LIMIT": "2/day"}
    with (
        Site("wsgi", tmp_path, environment) as site,
        site.visit("coder") as coder,
    ):
        answer = stream(coder, "print('a')\nwhoami()['user']", csrf_of(coder))
        names = [line for line in answer.text.splitlines() if line.startswith("event: ")]
        assert names == [
            "event: started",
            "event: output",
            "event: tool_call_started",
            "event: tool_call_finished",
            "event: completed",
        ]
        assert '"tenant_id": "nordlicht"' in answer.text
        assert ">coder</pre>" in events_in(answer.text)[-1][1]["html"]
        page = post(coder, "whoami()['request_id']").text
        context = dict(re.findall("<dt>(\\w+)</dt><dd>(.*?)</dd>", page))
        assert context["user"] == "coder"
        assert f'<pre class="codemode-value" tabindex="0">{context["request_id"]}</pre>' in page
        refused = post(coder, "1")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert '<p class="errornote">' in refused.text


@override_settings(ROOT_URLCONF="tests.playground.urls", STATIC_URL="/static/")
def test_a_project_without_tools_is_shown_how_to_write_the_first(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Codemode(registry=ComponentRegistry()) as without_tools:
        monkeypatch.setattr(PlaygroundView, "get_codemode", lambda _self: without_tools)
        answer = html.unescape(admin_client.get(PAGE).text)
    assert "No tools yet" in answer
    assert where_tools_go() in answer
    assert FIRST_TOOL in answer


@override_settings(
    ROOT_URLCONF="tests.playground.urls", STATIC_URL="/static/", CODEMODE={"EXECUTER_URL": "x"}
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_wrong_setting_is_reported_on_the_page(
    method: str, admin_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(MIDDLEWARE=settings.MIDDLEWARE[:-1]):
        answer = getattr(admin_client, method)(PAGE, {"code": "1"})
    assert answer.status_code == 500
    assert "run &#x27;manage.py check&#x27; to see what to fix" in answer.text
    assert "EXECUTER_URL" in caplog.text
