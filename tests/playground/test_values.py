"""What a run and its calls returned, as a person works with it."""

from __future__ import annotations

import base64
import itertools

import pytest
from selenium.webdriver.common.by import By

from tests.playground.browser import Page, wait_until
from tests.playground.images import PNG, SVG

pytestmark = pytest.mark.deep


def shown_rows(page: Page) -> list[str]:
    return page.texts("#codemode-outcome .codemode-table tbody tr:not([hidden]) td:first-child")


def test_long_tables_have_pages(page: Page) -> None:
    page.run("[{'n': n} for n in range(1200)]")

    assert page.texts(".codemode-count") == ["1200 rows, the first 1000 shown"]
    assert shown_rows(page) == [str(n) for n in range(50)]
    back, on = page.all(".codemode-pager button")
    on.click()
    on.click()
    assert page.texts(".codemode-page-rows") == ["101\u2013150"]
    assert shown_rows(page)[0] == "100"
    back.click()
    back.click()
    back.click()
    assert shown_rows(page)[0] == "0"
    assert back.get_attribute("aria-disabled") == "true"
    [head], [table] = page.all(".codemode-table-head"), page.all(".codemode-scroll")
    assert head.location["y"] < table.location["y"]


def test_a_table_is_offered_as_csv_without_formulas(page: Page) -> None:
    page.run("[{'n': 10**30, 'text': '=1+1'}]")
    [link] = page.all(".codemode-table-head a[download]")
    _, _, data = str(link.get_attribute("href")).partition(",")
    assert base64.b64decode(data).decode("utf-8-sig") == f"n,text\r\n{10**30},'=1+1\r\n"


def test_a_nested_list_of_dicts_is_a_table(page: Page) -> None:
    page.run("{'page': 1, 'orders': [{'id': 7, 'lines': [{'sku': 'a'}]}]}")
    assert page.texts(".codemode-tree .codemode-table th")[:2] == ["id", "lines"]
    [inner] = page.all(".codemode-table td summary")
    assert inner.text == "list of 1 item"
    inner.click()
    assert page.texts(".codemode-table .codemode-table td") == ["a"]


def test_a_call_shows_what_it_returned(page: Page) -> None:
    page.run("rows(30)\nrows(1, 'x')\nwhoami()\nNone")

    calls = page.all(".codemode-call")
    for call in calls:
        call.find_element(By.TAG_NAME, "summary").click()
    assert "30 rows, the first 20 shown" in calls[0].text
    assert [cell.text for cell in calls[1].find_elements(By.TAG_NAME, "td")] == ["0", "x"]
    assert "coder" in calls[2].text


def test_artifacts_are_shown_as_pictures_or_offered_as_downloads(page: Page) -> None:
    page.run(
        f"open('a.png', 'wb').write({PNG!r}); artifact('a.png')\n"
        f"open('b.svg', 'w').write({SVG!r}); artifact('b.svg')"
    )
    [picture] = page.all("#codemode-outcome img")
    wait_until(lambda: picture.get_property("naturalWidth") == 1)
    assert picture.get_attribute("alt") == "a.png"
    links = page.all("#codemode-outcome a[download]")
    assert [link.get_attribute("download") for link in links] == ["a.png", "b.svg"]
    heads = [str(link.get_attribute("href")).partition(",")[0] for link in links]
    assert heads == ["data:image/png;base64", "data:application/octet-stream;base64"]


def test_none_is_quiet_where_the_code_has_printed(page: Page) -> None:
    page.run("print('said')")
    assert page.all(".codemode-value") == []
    assert "No value: the code has only printed." in page.part("outcome").text
    page.run("None")
    assert page.values == ["None"]


def test_a_result_is_copied_exactly(page: Page) -> None:
    page.run("{'n': 10**30}")
    page.part("copy-result").click()
    wait_until(lambda: page.status == "Copied the result")
    assert page.clipboard() == f'{{"n": {10**30}}}'
    page.run("print('no value')")
    assert not page.part("copy-result").is_displayed()


def test_the_timeline_goes_by_the_clock_of_the_tools(page: Page) -> None:
    """Calls in a row do not overlap, however late their events come."""
    page.run("for _ in range(60): wait.s(0.01)")
    starts = page.script(
        "return [...document.querySelectorAll('#codemode-calls rect')].map((bar) => parseFloat(bar.getAttribute('x')))"
    )
    assert len(starts) == 60
    assert starts == sorted(starts)
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert min(steps) > 0.5


def test_a_page_on_which_nothing_happens_draws_nothing(page: Page) -> None:
    page.run("wait.a")  # no call
    page.start("await wait.a(0)\nprint('idle')\nwhile True: pass")
    wait_until(lambda: page.part("output").text == "idle")
    wait_until(lambda: page.texts(".codemode-call-outcome") == ["completed"])
    page.script(
        "setTimeout(() => { window.drawn = 0; new MutationObserver((all) => (window.drawn += all.length))"
        ".observe(document.getElementById('codemode-playground'), "
        "{ subtree: true, childList: true, attributes: true, characterData: true }); }, 300)"
    )
    wait_until(lambda: page.script("return window.drawn !== undefined"))
    page.driver.execute_async_script("setTimeout(arguments[0], 500)")
    assert page.script("return window.drawn") == 0
    page.part("cancel").click()
    page.wait_for_end()
