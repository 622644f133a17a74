from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant.choice import PROVIDERS, choose_model
from tests.example_project.assistant.page import AssistantPage
from tests.example_project.assistant.site import ExampleSite
from tests.playground.browser import Browser


@pytest.fixture(autouse=True)
def no_key_of_a_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the environment of whoever runs the tests choose no real model."""
    for variable in PROVIDERS:
        monkeypatch.delenv(variable, raising=False)
    choose_model.cache_clear()
    yield
    choose_model.cache_clear()


@pytest.fixture(scope="session")
def example_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    with ExampleSite(tmp_path_factory.mktemp("example")) as site:
        yield site


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, example_site: ExampleSite) -> Iterator[AssistantPage]:
    """Yield the page as a new visitor sees it; the browser's console must stay free of errors."""
    page = AssistantPage(browser, example_site.url)
    page.prefer("light")
    page.complaints()
    yield page
    assert page.complaints() == []
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
