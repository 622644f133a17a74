"""Markdown fences around code, as language models write them."""

from __future__ import annotations

import re

__all__ = ["strip_fences"]

_OPENING = re.compile(r"\s*(?P<fence>`{3,}(?=[^`\r\n]*(?:[\r\n]|\Z))|~{3,})[^\r\n]*")


def strip_fences(source: str) -> str:
    """Return code without a byte order mark, and without a fence around the whole of it.

    Every line keeps its number. The closing fence may be missing, as in an answer that was cut off.
    """
    source = source.removeprefix("\ufeff")  # a byte order mark, which Python skips in files
    start = source.lstrip()
    if not start.startswith(("```", "~~~")):
        return source
    opening = _OPENING.match(source)
    if opening is None:
        return source
    blank = source[: opening.end() - len(opening[0].lstrip())]
    code = blank + source[opening.end() :]
    # Fences end the text, so the search begins near its end: a regular expression that tried
    # each line of the code would take long.
    end = len(code.rstrip())
    line = max(code.rfind("\n", 0, end), code.rfind("\r", 0, end)) + 1
    closing = code[line:end].strip()
    fence = opening["fence"]
    if closing.strip(fence[0]) == "" and len(closing) >= len(fence):
        return code[:line]
    return code
