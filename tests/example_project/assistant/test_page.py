"""The assistant's page in a real browser, served by the example's own runserver."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.example_project.assistant.page import AssistantPage
from tests.example_project.assistant.site import ExampleSite
from tests.playground.browser import Browser, wait_until
from tests.support.accessibility import faults

HOSTILE = "</td><img src=x onerror=\"document.title='broken in'\"><script>document.title='broken in'</script>"
# Files that claim to be pictures, and values that would break a page or its layout.
HOSTILE_PROGRAM = f"""
hostile = {HOSTILE!r}
for name, data in {{
    "page.html": hostile.encode(),
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>document.title='broken in'</script></svg>",
    "picture.png": b"\\x89PNG\\r\\n\\x1a\\n" + hostile.encode(),
}}.items():
    open(name, "wb").write(data)
    artifact(name)
print(hostile, "x" * 5_000)
find = await find_customers(name=hostile)
[{{"name": hostile, "orders": "x" * 5_000, hostile: [hostile], **{{f"c{{n}}": n for n in range(30)}}}}] * 300
"""
QUESTION = "How much did we take"


def test_a_question_is_answered_by_one_program(page: AssistantPage) -> None:
    page.pick(QUESTION)

    assert "while batch := list_orders(" in page.texts(".program code")[0]
    names = page.texts(".call-name")
    assert {name: names.count(name) for name in names} == {
        "list_orders": 6,
        "get_rate": 5,
        "merchant": 1,
    }
    widths = [rect.get_attribute("width") for rect in page.all(".call rect")]
    assert len(widths) == 12
    assert all(float(str(width).rstrip("%")) >= 1 for width in widths)
    assert "Nordlicht Outdoor has 210 orders in" in page.texts(".output pre")[0]
    assert len(page.all(".result tbody tr")) == 12
    assert page.texts(".answer")[0].startswith("The shop took 29,374.15 euros with 171 orders")
    [count] = page.texts(".count summary")
    assert count.startswith("12 tool calls · 1 round trip · ")
    tokens, others = (
        int(part.split()[0].replace(",", ""))
        for part in count.removeprefix("12 tool calls · 1 round trip · ").split(" instead of ")
    )
    assert tokens < others


def test_the_model_mends_its_mistake(page: AssistantPage) -> None:
    page.pick("in Germany")

    assert [one.get_attribute("data-status") for one in page.all(".attempt")] == [
        "failed",
        "completed",
    ]
    assert "country" in page.texts(".failure pre")[0]
    assert "1 tool call · 2 round trips" in page.texts(".count summary")[0]


def test_a_refund_is_for_those_who_may(page: AssistantPage) -> None:
    page.become("Nora")
    page.pick("Pay back")
    assert page.texts(".call[data-outcome=refused] .call-name") == ["refund"]
    assert "refund is not permitted" in page.texts(".answer")[0]

    page.become("Tarek")
    page.pick("Pay back")
    assert page.all(".call[data-outcome=refused]") == []
    assert "gets back 5.00" in page.texts(".answer")[0]


def test_a_picture_that_code_has_drawn_is_shown(page: AssistantPage) -> None:
    page.pick("Draw it")
    [picture] = page.all(".result img")
    wait_until(lambda: picture.get_property("naturalWidth") == 720)
    assert page.all(".result a")[0].get_attribute("download") == "months.png"


def test_hostile_values_become_text_and_nothing_leaves_the_page(
    page: AssistantPage, example_site: ExampleSite
) -> None:
    example_site.write("UPDATE shop_customer SET name = ? WHERE country = 'DE'", HOSTILE)
    title = page.driver.title
    page.pick("in Germany")
    page.pick("Read the server")
    page.ask(HOSTILE)

    assert HOSTILE in page.texts(".result td")
    assert page.texts(".answer")[0].startswith(HOSTILE)
    assert page.texts(".question")[-1] == HOSTILE
    assert page.driver.title == title
    assert page.all("main script, main img, main iframe, main [onerror]") == []
    requests = page.script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert {one.partition("/ask")[0] for one in requests if "/ask/" in one} == {page.url}
    assert [one for one in requests if not one.startswith(f"{page.url}/")] == []
    # And the policy that forbids it is in force.
    page.script(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1';"
        "document.body.append(s); fetch('http://127.0.0.1:1/').catch(() => {})"
    )
    wait_until(lambda: sum("Content Security Policy" in one for one in page.complaints()) >= 2)
    assert page.driver.title == title


def test_hostile_files_and_huge_values_break_nothing(
    page: AssistantPage, example_site: ExampleSite
) -> None:
    title = page.driver.title
    page.resize(360, 740)
    with example_site.with_program("customers.py", HOSTILE_PROGRAM):
        page.pick("in Germany")

    wait_until(lambda: page.texts(".result figure")[0].startswith("The picture cannot be shown."))
    links = page.all(".result a")
    assert [one.get_attribute("download") for one in links] == [
        "page.html",
        "drawing.svg",
        "picture.png",
    ]
    assert {str(one.get_attribute("href")).partition(":")[0] for one in links} == {"blob"}
    assert page.all("main script, main img, main iframe, main svg:not(.call-bar)") == []
    assert page.texts(".result caption") == ["300 rows, 200 of them not shown"]
    assert page.script("return document.documentElement.scrollWidth") <= 360
    assert page.driver.title == title


def test_the_keyboard_is_enough(page: AssistantPage) -> None:
    page.script("document.getElementById('question').focus()")
    page.press(Keys.SHIFT + Keys.TAB + Keys.NULL)
    assert page.focused.text == page.texts(".suggestion")[-1]
    page.script("document.getElementById('question').focus()")
    page.press(QUESTION, " each month?", Keys.ENTER)
    wait_until(lambda: page.status == "Writing code…")
    page.press(Keys.TAB)
    assert page.focused.text == "Stop"
    page.press(Keys.ENTER)

    wait_until(lambda: page.texts(".trouble") == ["Stopped."])
    assert page.focused.get_attribute("id") == "question"
    page.press("Anything else?", Keys.ENTER)
    page.wait_for_end()
    assert "I am scripted" in page.texts(".answer")[-1]


def test_the_page_works_under_wsgi(browser: Browser, tmp_path: Path) -> None:
    with ExampleSite(tmp_path, "--noasgi") as site:
        page = AssistantPage(browser, site.url)
        page.pick(QUESTION)

        assert page.texts(".answer")[0].startswith("The shop took 29,374.15 euros")
        starts = [float(str(one.get_attribute("x")).rstrip("%")) for one in page.all(".call rect")]
        assert starts[:6] == sorted(set(starts[:6]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_and_has_no_serious_fault(
    page: AssistantPage, scheme: str
) -> None:
    page.prefer(scheme)
    page.resize(360, 740)
    page.pick("in Germany")
    page.pick("Pay back")

    assert faults(page.driver) == []
    assert page.script("return document.documentElement.scrollWidth") <= 360
    background = page.script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(16, 22, 20)") is (scheme == "dark")
    for selector in (".suggestion", "#send", ".people button"):
        assert page.all(selector)[0].size["height"] >= 44
