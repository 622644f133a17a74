"""Accessibility of a page in a browser, by axe-core."""

from __future__ import annotations

from typing import Any

from axe_selenium_python import Axe
from selenium import webdriver

__all__ = ["faults"]

SERIOUS = ("serious", "critical")


def faults(driver: webdriver.Chrome, within: str = "body") -> list[str]:
    """Return the serious faults of the page as it is now: rule, help and elements of each.

    ``within`` is a CSS selector of the part that is looked at.
    """
    axe = Axe(driver)
    axe.inject()
    found: dict[str, Any] = axe.run(context=within)
    assert found["passes"], f"nothing was checked: is there a {within!r}?"
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:300] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]
