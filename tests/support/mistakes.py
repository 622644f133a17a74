"""The mistakes of ``docs/reference/mistakes.md``, each with the text that a model reads."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

__all__ = ["mistakes", "number_of_headings"]

_PAGE = ROOT / "docs" / "reference" / "mistakes.md"
_BEFORE_THE_RUN = "## Found before the run\n"
_ENTRY = re.compile(
    r"^### (?P<title>[^\n]+)\n\n(?P<fence>`{4,})python\n(?P<code>.*?)\n(?P=fence)\n\n"
    r"(?P=fence)text\n(?P<text>.*?)\n(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


def mistakes(*, before_the_run: bool) -> dict[str, tuple[str, str]]:
    """Return code and text by title: of the page's first part, or of all that the run finds."""
    _, _, both = _PAGE.read_text("utf-8").partition(_BEFORE_THE_RUN)
    first, _, others = both.partition("\n## ")
    part = first if before_the_run else others
    return {found["title"]: (found["code"], found["text"]) for found in _ENTRY.finditer(part)}


def number_of_headings() -> int:
    """Return how many mistakes the page has."""
    return _PAGE.read_text("utf-8").count("\n### ")
