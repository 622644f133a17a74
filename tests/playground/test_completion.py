"""Suggestions while one types, by keyboard and for screen readers."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.playground.browser import Page, wait_until

pytestmark = pytest.mark.deep


def options(page: Page) -> list[str]:
    return [text.split("\n")[0] for text in page.texts("#codemode-suggestions [role=option]")]


def test_tools_arguments_and_fields_are_suggested_and_taken(page: Page) -> None:
    page.empty()
    page.press("orders = list_")
    assert options(page) == ["list_orders"]
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    assert page.code == "orders = list_orders()"
    page.press("page=1, pa")
    assert options(page) == ["page_size"]
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    page.press("5")
    assert page.code == "orders = list_orders(page=1, page_size=5)"
    page.press(Keys.END, Keys.ENTER, 'orders[0]["cu')
    assert options(page) == ["customer", "currency"]
    page.press(Keys.ARROW_UP, Keys.ENTER)
    assert page.code.endswith('orders[0]["currency"')


def test_the_list_is_described_to_screen_readers(page: Page) -> None:
    editor = page.part("code")
    assert editor.get_attribute("aria-autocomplete") == "list"
    assert editor.get_attribute("aria-controls") == "codemode-suggestions"
    page.empty()
    page.press("wait")
    assert options(page) == ["wait.a", "wait.s", "wait.there"]
    announced = page.part("suggestions-status")
    assert announced.get_attribute("role") == "status"
    assert announced.get_property("textContent") == "3 suggestions, arrow down chooses"
    assert editor.get_attribute("aria-activedescendant") is None
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    [chosen] = page.all("#codemode-suggestions [aria-selected=true]")
    assert chosen.get_attribute("id") == editor.get_attribute("aria-activedescendant")
    assert chosen.text.startswith("wait.s")


def test_an_open_list_changes_no_other_key(page: Page) -> None:
    page.empty()
    page.press("wait", Keys.ENTER, "rows", Keys.TAB, "x")
    assert page.code == "wait\nrows    x"
    assert options(page) == []
    page.press(Keys.ENTER, "save")
    page.press(Keys.CONTROL, " ")
    page.press(Keys.NULL, "d")  # nothing begins like this
    assert options(page) == []
    page.press(Keys.BACKSPACE, Keys.BACKSPACE)
    assert options(page) == ["save"]
    page.press(Keys.ESCAPE)
    assert options(page) == []
    page.press(Keys.TAB)
    assert page.focused_id == "run"


def test_escape_closes_the_list_before_it_cancels(page: Page) -> None:
    page.start("await wait.a(60)")
    wait_until(lambda: page.status == "Running…")
    page.part("code").click()
    page.press(Keys.CONTROL, Keys.END, Keys.NULL, Keys.ENTER, "ro")
    assert options(page) == ["rows"]
    page.press(Keys.ESCAPE)
    assert page.status == "Running…"
    page.press(Keys.ESCAPE)
    assert page.wait_for_end() == "Cancelled"


def test_nothing_is_suggested_within_text(page: Page) -> None:
    page.empty()
    page.press("# wait")
    assert options(page) == []
    page.press(Keys.ENTER, "'wait")
    assert options(page) == []
    page.press("', wait")
    assert len(options(page)) == 3


def test_the_list_stands_under_the_word_and_is_taken_by_the_mouse(page: Page) -> None:
    page.resize(390, 740)
    page.empty()
    page.press("x" * 30, " + wait")
    [option, *_] = page.all("#codemode-suggestions [role=option]")
    assert page.script("return document.documentElement.scrollWidth") <= 390
    option.click()
    assert page.code == f"{'x' * 30} + wait.a()"
    assert page.focused_id == "code"
