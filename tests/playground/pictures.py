"""The pictures of the documentation: ``python -m tests.playground.pictures docs/pictures``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.playground.browser import Browser, Page, wait_until
from tests.playground.site import Site

REPORT = """\
# What the best customers have ordered, in euros
import asyncio

orders = list_orders(status="open")
print(len(orders), "open orders")
currencies = sorted({order["currency"] for order in orders})
rates = dict(zip(currencies, await asyncio.gather(*map(get_rate, currencies))))
totals = {}
for order in orders:
    name, euros = order["customer"], order["amount"] * rates[order["currency"]]
    totals[name] = totals.get(name, 0) + euros
best = sorted(totals.items(), key=lambda one: -one[1])[:5]
[{"customer": name, "euros": round(total, 2)} for name, total in best]
"""
MISTAKE = """\
def average(orders):
    return sum(order["amount"] for order in orders) / len(orders)

print("shipped:", average(list_orders(status="shipped")))
print("lost:", average(list_orders(status="cancelled", page=9)))
"""


def take(page: Page, path: Path, *, width: int, height: int | None = None) -> None:
    """Write a picture of the page, with the page's own height unless another is given."""
    page.script(
        "scrollTo(0, 0); document.activeElement.blur(); document.getElementById('codemode-code').scrollTo(0, 0)"
    )
    page.resize(width, 900)
    whole = "return document.querySelector('.codemode-playground').getBoundingClientRect().bottom"
    page.resize(width, height or int(page.script(whole)) + 24)
    page.driver.save_screenshot(str(path))


def main(folder: Path) -> None:
    """Write the pictures, in light and in dark."""
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        Site("asgi", Path(data), {"PLAYGROUND_WITHOUT_TEST_TOOLS": "1"}) as site,
        Browser() as browser,
        browser.visit(site, "coder") as page,
    ):
        page.script("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
        page.open()
        page.run("1")  # starts the executor
        page.part("history-clear").click()
        page.run(MISTAKE.strip())
        page.prefer("dark")
        take(page, folder / "playground-error.png", width=1200)
        page.prefer("light")
        page.run(REPORT.strip())
        wait_until(lambda: page.all(".codemode-table"))
        page.script("document.querySelector('.codemode-call details').open = true")
        take(page, folder / "playground.png", width=1200)
        page.script("document.querySelector('.codemode-call details').open = false")
        take(page, folder / "playground-phone.png", width=360, height=1300)
        page.prefer("dark")
        take(page, folder / "playground-phone-dark.png", width=360, height=1300)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
