"""A person's use of the page, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.playground.browser import Browser, Page, wait_until
from tests.playground.images import PNG, SVG
from tests.playground.site import PAGE, Site, post

pytestmark = pytest.mark.deep


def test_progress_is_shown_while_the_code_runs(page: Page) -> None:
    page.start("progress(3, 4, 'rows')\nawait wait.a(60)")

    note = page.part("progress-note")
    wait_until(lambda: note.text == "3 of 4, rows")
    assert page.part("progress-bar").get_property("position") == 0.75
    page.part("cancel").click()
    page.wait_for_end()
    assert not note.is_displayed()


def test_a_tool_call_that_was_cancelled_is_shown_as_such(page: Page) -> None:
    page.start("await wait.a(60)")
    wait_until(lambda: page.texts(".codemode-call-outcome") == ["running"])
    page.part("cancel").click()
    page.wait_for_end()
    assert page.texts(".codemode-call-outcome") == ["cancelled"]


def test_under_wsgi_a_run_that_is_left_is_not_shown_as_ended(
    browser: Browser, tmp_path: Path
) -> None:
    with Site("wsgi", tmp_path) as site, browser.visit(site, "coder") as page:
        page.start("await wait.a(60)")
        wait_until(lambda: page.texts(".codemode-call-outcome") == ["running"])
        page.part("cancel").click()
        assert page.wait_for_end() == (
            "Left. The code ends within seconds, or when the tool at work has ended"
        )
        assert page.texts(".codemode-call-outcome") == ["not known"]


def test_an_error_is_shown_with_a_link_to_its_line(page: Page) -> None:
    status = page.run("x = 0\n\nprint('before')\n1 / x\nprint('after')")

    assert status == "ZeroDivisionError on line 4"
    assert page.texts(".codemode-error strong") == ["ZeroDivisionError"]
    assert page.part("output").text == "before"
    assert len(page.all(".codemode-mark")) == 1
    [line] = page.all(".codemode-line")
    line.click()
    assert page.focused_id == "code"
    assert page.script("return getSelection().toString()") == "1 / x"
    page.run("2")
    assert page.all(".codemode-mark") == []


def test_a_run_that_is_refused_shows_why(page: Page) -> None:
    page.run("#" * 1_100_000)
    assert page.status == "Not completed"
    assert page.texts(".errornote") == ["the body has more than 1,048,576 bytes"]
    assert page.part("refusal").get_attribute("role") == "alert"
    [complaint] = page.complaints()
    assert "413" in complaint

    page.driver.delete_cookie("sessionid")
    page.run("1")
    assert page.texts(".errornote") == ["log in to execute code"]
    [complaint] = page.complaints()
    assert "401" in complaint


def test_the_timeline_shows_each_call_with_time_outcome_and_arguments(page: Page) -> None:
    page.run(
        "import asyncio\n"
        "await asyncio.gather(wait.a(1), wait.a(seconds=1))\n"
        "try: fail('no luck')\n"
        "except ToolError: pass\n"
        "wait.s(0.4)"
    )

    assert page.texts(".codemode-call-name") == ["wait.a", "wait.a", "fail", "wait.s"]
    outcomes = ["completed", "completed", "failed", "completed"]
    assert page.texts(".codemode-call-outcome") == outcomes
    durations = [float(text.removesuffix(" ms")) for text in page.texts(".codemode-call-duration")]
    assert min(durations[0], durations[1]) >= 1000
    assert durations[3] >= 400
    bars = [
        (float(bar.get_attribute("x")[:-1]), float(bar.get_attribute("width")[:-1]))  # type: ignore[index]  # every bar has both
        for bar in page.all(".codemode-bar rect")
    ]
    assert bars[1][0] < bars[0][0] + bars[0][1]  # concurrently
    assert bars[3][0] > bars[0][0] + bars[0][1] - 5  # sequentially
    assert all(start + width <= 100.001 for start, width in bars)
    assert page.script(
        "return [...document.querySelectorAll('.codemode-call-arguments')].map(e => e.textContent)"
    ) == ['{"seconds": 1}', '{"seconds": 1}', '{"text": "no luck"}', '{"seconds": 0.4}']
    failed = page.all(".codemode-call")[2]
    failed.find_element(By.TAG_NAME, "summary").click()
    assert "no luck" in failed.find_element(By.CLASS_NAME, "codemode-call-error").text


def test_calls_beyond_those_shown_are_counted(page: Page, site: Site) -> None:
    code = "for _ in range(503): whoami()"
    page.run(code)
    assert len(page.all(".codemode-call")) == 500
    assert page.texts("#codemode-calls li")[-1] == "3 more"

    with site.visit("coder") as client:
        answer = post(client, code).text
    assert answer.count('<li class="codemode-call"') == 501  # includes the template for scripts
    assert "<li>3 more</li>" in answer


def test_a_list_of_dicts_is_a_table(page: Page) -> None:
    page.run("from decimal import Decimal\n[{'a': 1, 'b': Decimal('1.50')}, {'a': 2, 'c': 'x'}]")

    assert page.texts(".codemode-table th") == ["a", "b", "c"]
    assert page.texts(".codemode-table td") == ["1", "1.50", "", "2", "", "x"]
    assert page.texts(".codemode-count") == ["2 rows"]


def test_a_dict_is_a_tree_that_opens(page: Page) -> None:
    page.run("{'a': {'b': {'c': [1, None]}}, 'd': 'text'}")

    tree = page.all(".codemode-tree")[0]
    assert "text" in tree.text
    assert "None" not in tree.text
    for summary in page.all(".codemode-tree summary")[2:]:
        summary.click()
    assert "None" in tree.text


@pytest.mark.parametrize(("code", "width"), [(repr(PNG), 1), (f"{SVG!r}.encode()", 60)])
def test_bytes_of_a_picture_are_shown_as_a_picture(page: Page, code: str, width: int) -> None:
    page.run(code)

    [picture] = page.all("img")
    wait_until(lambda: picture.get_property("naturalWidth") == width)
    assert picture.get_attribute("alt")


def test_the_text_for_a_model_is_shown_too(page: Page) -> None:
    page.run("[{'a': None}]")
    page.all(".codemode-text summary")[0].click()
    assert page.texts(".codemode-text pre") == ['[{"a": null}]']


def test_the_context_is_that_of_the_run(page: Page) -> None:
    before = dict(
        zip(page.texts("#codemode-context dt"), page.texts("#codemode-context dd"), strict=True)
    )
    page.run("whoami()['request_id']")

    after = dict(
        zip(page.texts("#codemode-context dt"), page.texts("#codemode-context dd"), strict=True)
    )
    assert after["user"] == "coder"
    assert after["tenant_id"] == "nordlicht"
    assert after["request_id"] != before["request_id"]
    assert page.values == [after["request_id"]]


def test_history_outlives_the_page_until_it_is_cleared(page: Page) -> None:
    page.run("import math\nmath.pi")
    page.run("1 / 0")
    page.run("import math\nmath.pi")
    page.open()

    assert page.texts(".codemode-again") == ["math.pi", "1 / 0"]
    notes = page.texts("#codemode-history p")
    assert notes[0].startswith("completed, 2 lines, ")
    assert notes[1].startswith("failed, ")
    page.all(".codemode-again")[1].click()
    assert page.code == "1 / 0"
    assert page.focused_id == "code"
    page.part("history-clear").click()
    assert page.all(".codemode-again") == []
    assert page.focused_id == "history-heading"
    page.open()
    assert page.all(".codemode-again") == []
    key = page.part("playground").get_attribute("data-history-key")
    assert page.script("return localStorage.getItem(arguments[0])", key) is None


def test_history_is_bounded_and_survives_unreadable_entries(page: Page) -> None:
    key = page.part("playground").get_attribute("data-history-key")
    page.script(
        'localStorage.setItem(arguments[0], \'[{"code": 1}, null, {"code": "kept"}]\')', key
    )
    page.open()
    assert page.texts(".codemode-again") == ["kept"]
    page.script("localStorage.setItem(arguments[0], 'not json')", key)
    page.open()
    assert page.part("history-empty").text.startswith("This browser keeps no history: ")
    page.script(
        "localStorage.setItem(arguments[0], JSON.stringify(Array.from({length: 50}, (_, i) => ({code: `${i}`, at: 0}))))",
        key,
    )
    page.open()
    page.run("'new'")
    entries = page.texts(".codemode-again")
    assert len(entries) == 50
    assert entries[0] == "'new'"


def test_history_belongs_to_one_user(page: Page, browser: Browser, site: Site) -> None:
    page.run("'mine'")
    page.driver.add_cookie({"name": "sessionid", "value": site.sessions["clerk"]})
    page.open()
    assert page.all(".codemode-again") == []


def test_of_large_output_the_end_is_shown_and_the_rest_is_counted(page: Page) -> None:
    page.run("for i in range(100_000): print(i)")

    shown = str(page.part("output").get_property("textContent"))
    assert len(shown) == 100_000
    assert shown.endswith("99998\n99999\n")
    assert len(page.all("#codemode-output span")) == 1
    printed = sum(len(f"{i}\n") for i in range(100_000))
    assert (
        page.part("output-left-out").text
        == f"The first {printed - 100_000:,} characters are not shown."
    )
    page.run("import sys\nfor i in range(5_000): print(i); print(i, file=sys.stderr)")
    assert page.part("output").text.endswith("4999\n4999")
    assert len(page.all("#codemode-output span")) <= 2_000


def test_a_browser_without_javascript_runs_code_by_the_form(site: Site) -> None:
    with Browser(with_scripts=False) as plain, plain.visit(site, "coder") as page:
        # By its inner text: Selenium returns an empty text for any noscript.
        assert "Without JavaScript" in str(page.part("keys").get_property("innerText"))
        for hidden in ("cancel", "filter", "history-heading"):
            assert not page.part(hidden).is_displayed()
        page.empty()
        page.part("code").send_keys("print('hi')\nlen(list_orders(page_size=3))")
        page.part("run").click()

        wait_until(lambda: page.status.startswith("Completed in"))
        assert page.part("output").text == "hi"
        assert page.values == ["3"]
        assert page.texts(".codemode-call-name") == ["list_orders"]
        assert page.code == "print('hi')\nlen(list_orders(page_size=3))"
        assert page.complaints() == []


def test_staff_without_the_permission_see_which_one_they_need(browser: Browser, site: Site) -> None:
    with browser.visit(site, "editor") as page:
        note = page.driver.find_element(By.CLASS_NAME, "errornote")
        assert note.text == "Executing code requires the permission django_codemode.execute_code."
        assert page.all("textarea") == []
        page.driver.get(f"{site.url}/admin/")
        assert page.driver.find_elements(By.CSS_SELECTOR, f"a[href='{PAGE}']") == []


def test_the_index_links_to_the_playground(browser: Browser, site: Site) -> None:
    with browser.visit(site, "coder") as page:
        page.driver.get(f"{site.url}/admin/")
        page.driver.find_element(By.LINK_TEXT, "Playground").click()
        assert page.part("run").is_displayed()
