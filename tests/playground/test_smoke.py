"""The playground works in a real browser: the everyday checks."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from tests.playground.browser import Page, wait_until
from tests.playground.codemode_tools import HOSTILE
from tests.playground.site import Site


def test_code_runs_and_its_result_is_shown(page: Page) -> None:
    assert page.run("6 * 7").startswith("Completed in ")
    assert page.values == ["42"]
    assert page.part("status").get_attribute("role") == "status"


def test_output_is_shown_while_the_code_runs(page: Page, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    page.start(
        f"import sys\nprint('first')\nwait.there({str(seen)!r})\n"
        "print('last', file=sys.stderr)\nawait wait.a(60)"
    )

    output = page.part("output")
    wait_until(lambda: output.text == "first")
    assert page.status == "Running…"
    assert not page.part("run").is_enabled()
    seen.touch()
    wait_until(lambda: output.text == "first\nlast")
    assert page.texts(".codemode-stderr") == ["last"]
    assert output.get_attribute("role") == "log"
    page.part("cancel").click()
    page.wait_for_end()


def busy_process(below: int) -> psutil.Process:
    """Return the process below another that keeps using CPU."""
    before: dict[psutil.Process, float] = {}

    def busy() -> psutil.Process | None:
        for process in psutil.Process(below).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                seconds = process.cpu_times().user
                if seconds - before.setdefault(process, seconds) > 0.5:
                    return process
        return None

    found = wait_until(busy)
    assert isinstance(found, psutil.Process)
    return found


def test_cancel_ends_the_sandbox_and_the_page_is_free_again(page: Page, site: Site) -> None:
    page.start("print('in a loop')\nwhile True: pass")
    wait_until(lambda: page.part("output").text == "in a loop")
    sandbox = busy_process(site.process.pid)

    page.part("cancel").click()

    assert page.wait_for_end() == "Cancelled"
    assert page.focused_id == "run"
    sandbox.wait(60)
    assert page.run("1 + 1").startswith("Completed")


def test_tools_are_listed_found_and_inserted(page: Page) -> None:
    signatures = page.texts(".codemode-tool")
    assert "async get_rate(currency: str) -> Decimal" in signatures
    assert not any("refund(" in one for one in signatures)

    page.empty()
    page.part("filter").send_keys("RATE")
    [tool] = [tool for tool in page.all(".codemode-tool") if tool.is_displayed()]
    tool.click()
    assert page.focused_id == "code"
    page.press("'EUR'")
    assert page.code == "await get_rate('EUR')"
    page.part("run").click()
    page.wait_for_end()
    assert page.values == ["1"]


def test_hostile_text_is_shown_as_it_is(page: Page) -> None:
    page.run(f"print({HOSTILE!r})\nfail({HOSTILE!r})")

    assert page.part("output").text == HOSTILE
    assert HOSTILE in page.texts(".codemode-error p")[0]
    assert f"reads {HOSTILE}" in page.texts(".codemode-tools p")
    assert page.all("script, img") == []
