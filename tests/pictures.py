"""The pictures of the documentation: ``python3 .ci/with_env.py -m tests.pictures``."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.example_project.assistant.page import AssistantPage
from tests.example_project.assistant.site import ExampleSite
from tests.playground import pictures as playground
from tests.playground.browser import Browser
from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "pictures"
DESKTOP, PHONE = 1200, 360
BOTH = ("light", "dark")
# Each picture of the assistant: the words of its question, and the colour schemes.
QUESTIONS = {
    "assistant": ("How much did we take", BOTH),
    "assistant-mended": ("in Germany", ("light",)),
    "assistant-refused": ("Pay back", ("dark",)),
    "assistant-chart": ("Draw it", ("light",)),
    "assistant-attack": ("Read the server", ("dark",)),
}


def take(page: AssistantPage, name: str, scheme: str, width: int) -> None:
    """Write a picture of the page as high as it is, on a phone at most as high as three screens."""
    page.prefer(scheme)
    page.resize(width, 700)
    height = int(page.script("return document.documentElement.scrollHeight"))
    page.resize(width, height if width == DESKTOP else min(height, 1400))
    page.script("document.activeElement.blur(); scrollTo(0, 0)")
    suffix = "-dark" if scheme == "dark" else ""
    page.driver.save_screenshot(str(FOLDER / f"{name}{suffix}.png"))


def take_assistant(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as folder, ExampleSite(Path(folder)) as site:
        page = AssistantPage(browser, site.url)
        page.pick("in Germany")  # starts the executor
        for name, (words, schemes) in QUESTIONS.items():
            page.open()
            page.pick(words)
            for scheme in schemes:
                take(page, name, scheme, DESKTOP)
                if schemes == BOTH:
                    take(page, f"{name}-phone", scheme, PHONE)


def make_small() -> None:
    """Reduce the colours of the pictures, which halves their size or better."""
    if shutil.which("pngquant") is None:
        print("pngquant is missing (apt install pngquant): the pictures are larger than need be")
        return
    pictures = sorted(map(str, FOLDER.glob("*.png")))
    subprocess.run(["pngquant", "--force", "--ext=.png", "--strip", "96", *pictures], check=True)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with Browser() as browser:
        take_assistant(browser)
    playground.main(FOLDER)
    make_small()


if __name__ == "__main__":
    main()
