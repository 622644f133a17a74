"""The scripted model's answers: real code in a real executor, against the shop's rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from assistant import scripted
from assistant.conversation import Conversation
from assistant.events import AnswerWritten, CodeWritten, Counted
from assistant.repertoire import REPERTOIRE
from assistant.scripted import ScriptedModel
from codemode.core.events import ExecutionCompleted
from django_codemode import get_codemode
from shop.models import Refund
from shop.report import run_report
from shop.seed import YEAR

pytestmark = pytest.mark.usefixtures("shop", "without_pauses")


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted, "_PAUSE_SECONDS", 0)


def answer(words: str, *permissions: str) -> list[Any]:
    """Return the events of the answer to a question of the repertoire, for a user who may this."""
    user = User.objects.create_user("somebody")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    [question] = [one.question for one in REPERTOIRE if words in one.question]
    with get_codemode().registry.context(user=user, tenant_id="nordlicht"):
        return list(Conversation(ScriptedModel(""), question))


def text(events: list[Any], kind: type[AnswerWritten | CodeWritten] = AnswerWritten) -> str:
    return "".join(one.text for one in events if isinstance(one, kind))


def results(events: list[Any]) -> list[Any]:
    return [one.result for one in events if isinstance(one, ExecutionCompleted)]


def test_the_report_agrees_with_the_command() -> None:
    events = answer("each month")

    total = run_report("nordlicht", YEAR).value["total"]
    assert text(events).startswith(f"The shop took {total:,.2f} euros")
    count = events[-1]
    assert isinstance(count, Counted)
    assert (count.calls, count.round_trips) == (12, 1)
    assert count.tokens < count.instead_of


def test_the_model_mends_its_code_by_the_message_of_the_first_attempt() -> None:
    events = answer("in Germany")

    first, second = results(events)
    assert first.tool_calls == ()
    assert "land" in first.error.message
    assert "country" in first.error.message
    assert second.value[0]["name"] in text(events)
    assert second.value[0]["orders"] == max(row["orders"] for row in second.value)
    assert (events[-1].calls, events[-1].round_trips) == (1, 2)


def test_a_clerk_pays_nothing_back() -> None:
    before = Refund.objects.count()
    events = answer("Pay back", "execute_code")

    assert "refund is not permitted" in text(events)
    assert Refund.objects.count() == before


def test_a_manager_pays_back() -> None:
    before = Refund.objects.count()
    events = answer("Pay back", "execute_code", "add_refund")

    refund = Refund.objects.latest("refunded_at")
    assert Refund.objects.count() == before + 1
    assert f"gets back 5.00 {refund.order.currency} of order {refund.order_id}" in text(events)


def test_an_attack_finds_nothing_in_the_strongest_tier() -> None:
    events = answer("passwords")

    [result] = results(events)
    if result.isolation != "A":
        pytest.skip(f"the executor of this host isolates by tier {result.isolation}")
    assert [row["tried"] for row in result.value if row["found"]] == []
    assert "found nothing" in text(events)


def test_the_chart_is_a_picture() -> None:
    events = answer("chart")

    [result] = results(events)
    [picture] = result.artifacts
    assert (picture.name, picture.media_type) == ("months.png", "image/png")
    assert "from 1,510.08 to 4,543.17 euros" in text(events)


def test_code_arrives_in_pieces_before_it_runs() -> None:
    events = answer("in Germany")

    first = next(at for at, one in enumerate(events) if isinstance(one, ExecutionCompleted))
    assert len([one for one in events[:first] if isinstance(one, CodeWritten)]) > 5
    assert text(events, CodeWritten) == "".join(
        program for one in REPERTOIRE if "Germany" in one.question for program in one.programs
    )


def test_an_unknown_question_runs_nothing_and_is_answered_honestly() -> None:
    events: list[Any] = list(Conversation(ScriptedModel(""), "What is the weather?"))

    assert results(events) == []
    assert "I am scripted" in text(events)
    assert events[-1].round_trips == 0
