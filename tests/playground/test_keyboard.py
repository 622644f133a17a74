"""The page without a mouse."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.playground.browser import Page, wait_until

pytestmark = pytest.mark.deep


def test_keys_run_cancel_and_run_again(page: Page) -> None:
    page.empty()
    page.press("print('on')\nwhile True:\npass")
    page.press(Keys.CONTROL, Keys.ENTER)
    wait_until(lambda: page.part("output").text == "on")
    page.press(Keys.ESCAPE)
    assert page.wait_for_end() == "Cancelled"
    assert page.focused_id == "code"

    page.press(Keys.CONTROL + "a" + Keys.NULL, "7 * 6", Keys.CONTROL, Keys.ENTER)
    page.wait_for_end()
    assert page.values == ["42"]


def test_tab_indents_and_leaves_the_editor_after_escape(page: Page) -> None:
    page.empty()
    page.press("a", Keys.TAB, "b", Keys.ENTER, Keys.TAB, "c")
    assert page.code == "a   b\n    c"
    page.press(Keys.SHIFT + Keys.TAB + Keys.NULL)
    assert page.code == "a   b\nc"
    assert page.focused_id == "code"

    page.press(Keys.ESCAPE, Keys.TAB)
    assert page.focused_id == "run"
    page.press(Keys.SHIFT + Keys.TAB + Keys.NULL)
    assert page.focused_id == "code"
    page.press(Keys.ESCAPE, "x", Keys.TAB)
    assert page.focused_id == "code"  # typing cancels the escape


def test_tab_moves_to_cancel_while_code_runs(page: Page) -> None:
    page.empty()
    page.press("await wait.a(60)", Keys.CONTROL, Keys.ENTER)
    wait_until(lambda: page.status == "Running…")
    page.press(Keys.NULL + Keys.TAB)
    assert page.focused_id == "cancel"
    page.press(Keys.ENTER)
    assert page.wait_for_end() == "Cancelled"


def test_a_new_line_has_the_indentation_of_the_line_before(page: Page) -> None:
    page.empty()
    page.press("def f():\nif True:\nreturn 1\n", Keys.SHIFT + Keys.TAB + Keys.NULL, "g()")
    assert page.code == "def f():\n    if True:\n        return 1\n    g()"


def test_several_lines_are_indented_and_undone_together(page: Page) -> None:
    page.write("a\n\nb")
    page.press(Keys.CONTROL + "a" + Keys.NULL, Keys.TAB)
    assert page.code == "    a\n\n    b"
    page.press(Keys.SHIFT + Keys.TAB + Keys.NULL)
    assert page.code == "a\n\nb"
    page.press(Keys.CONTROL + "z" + Keys.NULL)
    assert page.code == "    a\n\n    b"


def test_tab_reaches_every_control_in_reading_order(page: Page) -> None:
    page.run("[{'a': 1}]")
    page.part("code").click()
    page.press(Keys.ESCAPE)
    reached = []
    for _ in range(12):
        page.press(Keys.TAB)
        element = page.focused
        reached.append(
            (element.get_attribute("id") or "").removeprefix("codemode-")
            or element.get_attribute("class")
            or element.text
        )
    assert reached[:3] == ["run", "Inputs, profile", "copy-result"]
    assert reached[3:6] == ["codemode-small", "codemode-scroll", "As a model reads it"]
    assert [one for one in reached[6:] if one != "tools"][:2] == ["filter", "codemode-tool"]


def test_a_tool_is_inserted_by_the_keyboard(page: Page) -> None:
    page.empty()
    page.script("document.querySelector('.codemode-tool').focus()")
    page.press(Keys.ENTER)
    assert page.focused_id == "code"
    assert page.code == "fail()"


def test_controls_have_names(page: Page) -> None:
    page.run("[{'a': 1}]")
    nameless = [
        element.get_attribute("outerHTML")
        for element in page.all(
            "button, input:not([type=hidden]), textarea, progress, [role=log], [role=region], summary"
        )
        if element.is_displayed() and not element.accessible_name
    ]
    assert nameless == []
    assert page.part("code").accessible_name == "Code"
