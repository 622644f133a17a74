"""The assistant's page in a browser, as a person uses it."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.playground.browser import Browser, wait_until

__all__ = ["AssistantPage"]


class AssistantPage:
    """The page of a visitor who has just come."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.driver = browser.driver
        self.url = url
        self.open()
        self.driver.delete_all_cookies()
        self.open()

    def open(self) -> None:
        self.driver.get(f"{self.url}/")

    def script(self, source: str, *arguments: Any) -> Any:
        return self.driver.execute_script(source, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    @property
    def status(self) -> str:
        return self.driver.find_element(By.ID, "status").text

    @property
    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self.focused.send_keys("".join(keys))

    def become(self, name: str) -> None:
        """Go on as one of the people."""
        [button] = [one for one in self.all(".people button") if one.text.startswith(name)]
        self.script("window.isFormer = true")
        button.click()
        pressed = "document.querySelector('.people [aria-pressed=true]')?.textContent ?? ''"
        wait_until(lambda: self.script(f"return window.isFormer ? '' : {pressed}").startswith(name))

    def suggestion(self, words: str) -> WebElement:
        """Return the button of the suggested question that has these words."""
        [button] = [one for one in self.all(".suggestion") if words in one.text]
        return button

    def pick(self, words: str) -> None:
        """Ask a suggested question, and wait for the answer."""
        self.script("arguments[0].click()", self.suggestion(words))
        self.wait_for_end()

    def ask(self, question: str) -> None:
        """Type a question, and wait for the answer."""
        self.driver.find_element(By.ID, "question").send_keys(question + Keys.ENTER)
        self.wait_for_end()

    def wait_for_end(self) -> None:
        wait_until(
            lambda: (
                self.status in {"Answered", "Not answered"}
                and self.driver.find_element(By.ID, "send").is_displayed()
            ),
            "the end of the answer",
        )

    def complaints(self) -> list[str]:
        """Return the console's messages since the last call."""
        messages: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
        return [str(entry["message"]) for entry in messages]

    def resize(self, width: int, height: int) -> None:
        """Set the screen's size, in pixels; below 500 it is a phone's."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def prefer(self, scheme: str) -> None:
        """Prefer ``dark`` or ``light`` in the system's settings."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
