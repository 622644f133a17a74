"""axe-core finds no serious fault on the page, whatever it shows."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By

from tests.playground.browser import Browser, Page, wait_until
from tests.playground.site import Site
from tests.support.accessibility import faults

pytestmark = pytest.mark.deep

WITH_EVERYTHING = """\
import sys
progress(1, 2, "half")
print("out"); print("err", file=sys.stderr)
try: fail("no")
except ToolError: pass
{"rows": [{"n": n, "orders": list_orders(page_size=1)} for n in range(60)], "x": [1, None]}
"""


def open_all(page: Page) -> None:
    for summary in page.driver.find_elements(By.CSS_SELECTOR, ".codemode-playground summary")[:12]:
        if summary.is_displayed():
            page.script("arguments[0].parentElement.open = true", summary)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_page_with_everything_has_no_serious_fault(page: Page, scheme: str, width: int) -> None:
    page.prefer(scheme)
    page.resize(width, 800)
    page.open()
    page.run(WITH_EVERYTHING)
    open_all(page)
    assert faults(page.driver, "#codemode-playground") == []
    page.run("1 / 0")
    assert faults(page.driver, "#codemode-playground") == []
    assert page.script("return document.documentElement.scrollWidth") <= width


def test_suggestions_and_the_question_have_no_serious_fault(page: Page) -> None:
    page.empty()
    page.press("wait")
    assert page.all("[role=option]")
    assert faults(page.driver, "#codemode-playground") == []
    page.start("save('x')")
    wait_until(lambda: page.part("confirmation").get_property("open"))
    assert faults(page.driver, "#codemode-playground") == []


def test_the_checker_finds_a_fault(browser: Browser, site: Site) -> None:
    with browser.visit(site, "coder") as page:
        page.script(
            "document.getElementById('codemode-playground').append(document.createElement('button'))"
        )
        assert [one.partition(":")[0] for one in faults(page.driver)] == ["button-name"]
