from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.playground.browser import Browser, Page
from tests.playground.site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site("asgi", tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def visit(site: Site) -> Iterator[Callable[[str | None], httpx.Client]]:
    """Yield a function that returns a client of a person."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(site.visit(name))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """Yield the playground as the coder sees it; the browser's console must stay free of errors."""
    with browser.visit(site, "coder") as page:
        yield page
        assert page.complaints() == []
