"""Untrusted code cannot make the page run anything."""

from __future__ import annotations

import re
from pathlib import Path

import django
import pytest

from tests.playground.browser import Browser, Page, wait_until
from tests.playground.codemode_tools import HOSTILE
from tests.playground.images import SVG
from tests.playground.site import PAGE, Site

pytestmark = pytest.mark.deep

SVG_WITH_SCRIPT = SVG.replace(
    "<circle",
    "<script>document.title='broken in'</script><image href='/static/x.png' onerror=\"document.title='broken in'\"/><circle",
)
REQUESTS_ELSEWHERE = """
return performance.getEntriesByType("resource").map((one) => one.name)
  .filter((url) => !url.startsWith(location.origin + "/") && !url.startsWith("data:"));
"""
CODES = {
    "output": f"import sys; print({HOSTILE!r}); print({HOSTILE!r}, file=sys.stderr)",
    "value": repr(HOSTILE),
    "bytes": f"{HOSTILE!r}.encode()",
    "table": f"[{{{HOSTILE!r}: {HOSTILE!r}}}, {{'x': [{HOSTILE!r}]}}]",
    "tree": f"{{{HOSTILE!r}: {{{HOSTILE!r}: [{HOSTILE!r}]}}}}",
    "error": f"raise ValueError({HOSTILE!r})",
    "type of error": f"raise type({HOSTILE!r}, (Exception,), {{}})({HOSTILE!r})",
    "argument and error of a tool": f"fail({HOSTILE!r})",
    "value of a tool": "hostile()",
    "progress": f"progress(1, 2, {HOSTILE!r}); wait.s(0.2)",
    "nested table": f"{{'x': [{{{HOSTILE!r}: {HOSTILE!r}, 'y': [{{'z': {HOSTILE!r}}}]}}]}}",
    "rows of a tool": f"rows(60, {HOSTILE!r})",
    "artifact": f"open('a', 'w').write({HOSTILE!r}); artifact('a')",
    "long names and marks": "[{'x' * 5000: '\\u202e' * 500, 'y' * 5000: [{'z' * 5000: 1}]}]",
    "long keys": "{'x' * 5000: 'y' * 5000, 'z': {'\\u202e' * 50 + 'x' * 5000: 1}}",
    "long words": "print('x' * 5000); fail('y' * 5000)",
    "name of a tool": f"tools[{HOSTILE!r}].run()",
    "svg": f"{SVG_WITH_SCRIPT!r}.encode()",
    "html as a picture": f"b'\\x89PNG\\r\\n\\x1a\\n' + {HOSTILE!r}.encode()",
}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_no_output_of_code_becomes_part_of_the_page(page: Page, code: str) -> None:
    title = page.driver.title
    page.run(code)
    assert page.script("return document.documentElement.scrollWidth <= innerWidth")
    page.open()  # and again from the history

    assert page.texts(".codemode-again") != []
    assert page.all("script, img, iframe, object, embed, [onerror], [style*=url]") == []
    assert page.driver.title == title
    assert page.script(REQUESTS_ELSEWHERE) == []


def test_a_picture_runs_and_loads_nothing(page: Page) -> None:
    title = page.driver.title
    page.run(CODES["svg"])

    [picture] = page.all("img")
    wait_until(lambda: picture.get_property("naturalWidth") == 60)
    assert str(picture.get_attribute("src")).startswith("data:image/svg+xml;base64,")
    assert page.driver.title == title


def test_bytes_that_only_claim_to_be_a_picture_are_reported_as_not_shown(page: Page) -> None:
    page.run(CODES["html as a picture"])
    wait_until(lambda: "cannot show the picture" in page.part("outcome").text)
    assert page.all("img") == []


def test_the_policy_is_in_force(page: Page) -> None:
    """Without a policy in force the other tests would find no violations."""
    if django.VERSION < (6, 0):
        pytest.skip("Django has a Content-Security-Policy from 6.0")
    page.script("document.body.insertAdjacentHTML('beforeend', '<b style=\"color: red\">x</b>')")
    page.script(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)"
    )
    wait_until(
        lambda: (
            len(found := page.complaints()) >= 2
            and all("Content Security Policy" in one for one in found)
        )
    )


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django's admin has nonces from 6.1")
def test_the_page_obeys_a_policy_of_nonces(browser: Browser, tmp_path: Path) -> None:
    strict = {"PLAYGROUND_POLICY_OF_NONCES": "1"}
    with Site("asgi", tmp_path, strict) as site, browser.visit(site, "coder") as page:
        page.open()
        page.run(f"print(1)\n{SVG!r}.encode()")
        [picture] = page.all("img")
        wait_until(lambda: picture.get_property("naturalWidth") == 60)
        assert page.complaints() == []
        with site.visit("coder") as client:
            policy = client.get(PAGE).headers["Content-Security-Policy"]
        assert re.search("script-src 'nonce-[^']+';", policy)
        assert "img-src 'self' data:" in policy


def test_a_huge_result_does_not_stop_the_page(page: Page) -> None:
    assert page.run("[{f'c{j}': 'x' * 1000 for j in range(20)} for i in range(500)]").startswith(
        "Completed"
    )
    assert page.texts(".codemode-count") == ["500 rows"]
    assert page.run("{str(i): {str(j): j for j in range(300)} for i in range(300)}").startswith(
        "Completed"
    )
    assert len(page.all(".codemode-tree li")) < 1_200
    assert page.run("'x' * 5_000_000").startswith("Completed")
    assert "4900000 more characters" in page.part("outcome").text
