"""A headless Chromium, and the playground in it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.playground.site import PAGE, Site

__all__ = ["Browser", "Page", "wait_until"]

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-dev-shm-usage "
    "--hide-scrollbars"
).split()
WIDTH, HEIGHT = 1280, 900
SECONDS = 60.0


def wait_until(condition: Callable[[], Any], what: str = "it") -> Any:
    """Wait until a condition is true, and return it; elements may come and go meanwhile."""
    deadline = time.monotonic() + SECONDS
    while True:
        with suppress(NoSuchElementException, StaleElementReferenceException):
            if found := condition():
                return found
        assert time.monotonic() < deadline, f"{what} has not happened within {SECONDS:g} s"
        time.sleep(0.02)


class Browser:
    """Chromium with an empty profile; entering it skips the test where there is no Chromium."""

    def __init__(self, *, with_scripts: bool = True) -> None:
        self._with_scripts = with_scripts

    def __enter__(self) -> Self:
        chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or chromedriver is None:
            reason = "needs a browser: apt-get install chromium chromium-driver"
            if os.environ.get("CODEMODE_TEST_BROWSER_REQUIRED"):
                pytest.fail(reason)
            pytest.skip(reason)
        self._profile = tempfile.mkdtemp(prefix="cm-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (
            *OPTIONS,
            f"--user-data-dir={self._profile}",
            f"--window-size={WIDTH},{HEIGHT}",
        ):
            options.add_argument(argument)
        if not self._with_scripts:
            forbidden = {"profile.managed_default_content_settings.javascript": 2}
            options.add_experimental_option("prefs", forbidden)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(chromedriver, env={**os.environ, "HOME": self._profile})
        self.driver = webdriver.Chrome(options=options, service=service)
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    @contextmanager
    def visit(self, site: Site, person: str, path: str = PAGE) -> Iterator[Page]:
        """Open the playground as a person who has never visited it."""
        self.driver.get(f"{site.url}/static/admin/css/base.css")  # for the cookie's domain
        self.driver.delete_all_cookies()
        self.driver.add_cookie({"name": "sessionid", "value": site.sessions[person]})
        if self._with_scripts:
            self.driver.execute_script("localStorage.clear()")
        page = Page(self.driver, f"{site.url}{path}")
        page.open()
        page.complaints()
        yield page
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


class Page:
    """The playground in a browser, as a person uses it."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self) -> None:
        self.driver.get(self.url)

    def script(self, source: str, *arguments: Any) -> Any:
        return self.driver.execute_script(source, *arguments)

    def complaints(self) -> list[str]:
        """Return the console's messages since the last call: policy violations, script and load
        errors.
        """
        messages = [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]  # selenium's
        return [one for one in messages if "/favicon.ico" not in one]

    def resize(self, width: int, height: int) -> None:
        """Set the screen's size, in pixels; below 500 it is a phone's."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def prefer(self, scheme: str) -> None:
        """Prefer ``dark`` or ``light`` in the system's settings."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def part(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, f"codemode-{name}")

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, f"#codemode-playground {selector}")

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    @property
    def focused_id(self) -> str:
        return (self.focused.get_attribute("id") or "").removeprefix("codemode-")

    @property
    def status(self) -> str:
        return self.part("status").text

    @property
    def values(self) -> list[str]:
        """The results that are shown as text."""
        return self.texts("#codemode-outcome .codemode-value")

    @property
    def code(self) -> str:
        return str(self.part("code").get_property("value"))

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self.focused.send_keys("".join(keys))

    def empty(self) -> None:
        """Empty the editor, which gets the focus."""
        self.part("code").click()
        self.press(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)

    def write(self, code: str) -> None:
        """Insert code into the editor as a paste does; the editor gets the focus."""
        self.empty()
        self.script("document.execCommand('insertText', false, arguments[0])", code)

    def clipboard(self) -> str:
        """Return the text in the clipboard."""
        grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
        read = (
            "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](`${error}`))"
        )
        return str(self.driver.execute_async_script(read))

    def start(self, code: str) -> None:
        self.write(code)
        self.part("run").click()

    def wait_for_end(self) -> str:
        wait_until(lambda: self.part("run").is_enabled(), "the end of the run")
        return self.status

    def run(self, code: str) -> str:
        """Run code to its end and return what the status line says."""
        self.start(code)
        return self.wait_for_end()
