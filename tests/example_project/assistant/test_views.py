"""The assistant over HTTP, as a WSGI server serves it: whole answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, modify_settings, override_settings

from assistant import scripted

pytestmark = pytest.mark.usefixtures("shop", "site")
KNOWN = "Who orders most in Germany?"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve the example's URLs, without a pause."""
    monkeypatch.setattr(scripted, "_PAUSE_SECONDS", 0)
    with (
        modify_settings(INSTALLED_APPS={"prepend": "assistant"}),
        override_settings(
            ROOT_URLCONF="config.urls",
            STATIC_URL="static/",
            CODEMODE={"CONTEXT_PROVIDER": "shop.context.context_of"},
        ),
    ):
        yield


@pytest.fixture
def clerk(client: Client) -> Client:
    user = User.objects.create_user("clerk")
    user.user_permissions.add(Permission.objects.get(codename="execute_code"))
    client.force_login(user)
    return client


def test_an_answer_comes_whole_and_with_the_events_of_a_live_one(clerk: Client) -> None:
    answer = clerk.post("/ask/", {"question": KNOWN})

    assert answer["Content-Type"].startswith("text/event-stream")
    names = re.findall("^event: (.*)$", answer.getvalue().decode(), re.MULTILINE)
    assert list(dict.fromkeys(names)) == [
        "code",
        "started",
        "completed",
        "tool_call_started",
        "tool_call_finished",
        "answer",
        "counted",
    ]
    assert names.count("completed") == 2


@pytest.mark.no_retry
def test_only_those_who_may_execute_code_are_answered(client: Client) -> None:
    assert client.post("/ask/", {"question": KNOWN}).status_code == 403
    client.force_login(User.objects.create_user("outsider"))
    assert client.post("/ask/", {"question": KNOWN}).status_code == 403


@pytest.mark.no_retry
def test_a_forged_request_is_refused(clerk: Client) -> None:
    forger = Client(enforce_csrf_checks=True)
    forger.cookies = clerk.cookies
    assert forger.post("/ask/", {"question": KNOWN}).status_code == 403
    with override_settings(DEBUG=True):
        assert forger.post("/person/", {"username": "demo-manager"}).status_code == 403


@pytest.mark.parametrize(("question", "length"), [(" ", "0"), ("x" * 501, "501")])
def test_a_wrong_question_is_refused_with_its_length(
    clerk: Client, question: str, length: str
) -> None:
    answer = clerk.post("/ask/", {"question": question})
    assert answer.status_code == 400
    assert f"{length} characters; expected 1 to 500" in answer.text


@pytest.mark.no_retry
def test_without_debug_nobody_becomes_somebody(client: Client) -> None:
    assert client.get("/")["Location"] == "/admin/login/?next=/"
    assert client.post("/person/", {"username": "demo-manager"}).status_code == 404
    assert not User.objects.exists()


@pytest.mark.no_retry
@override_settings(DEBUG=True)
def test_a_demonstration_has_its_own_people_and_no_others(client: Client) -> None:
    User.objects.create_superuser("root")
    page = client.get("/")
    assert 'value="demo-clerk" aria-pressed="true"' in page.text
    assert "'none'" in page["Content-Security-Policy"]
    assert client.post("/person/", {"username": "root"}).status_code == 404

    client.post("/person/", {"username": "demo-manager"})
    page = client.get("/")
    assert 'value="demo-manager" aria-pressed="true"' in page.text
    assert "refund" in page.context["tools"].split()
    assert not User.objects.get(username="demo-manager").has_usable_password()
