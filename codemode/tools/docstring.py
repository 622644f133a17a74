"""The parts of a docstring that describe a tool and its arguments."""

from __future__ import annotations

import inspect
import re

__all__ = ["argument_docs", "first_paragraph"]

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Keyword Args|Keyword Arguments):\s*$")
_ARGUMENT = re.compile(r"^\*{0,2}(\w+)(?:\s*\(.*?\))?:\s*(.*)$")


def first_paragraph(doc: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    if not doc:
        return ""
    paragraph = inspect.cleandoc(doc).strip().split("\n\n", 1)[0]
    if _SECTION.match(paragraph.split("\n", 1)[0]):
        return ""
    return " ".join(paragraph.split())


def argument_docs(doc: str | None) -> dict[str, str]:
    """Return the description of each argument in a docstring of Google's style."""
    docs: dict[str, str] = {}
    if not doc:
        return docs
    inside = False
    indent = 0
    current = None
    for line in inspect.cleandoc(doc).splitlines():
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            inside = bool(_SECTION.match(line))
            current, indent = None, 0
            continue
        if not inside:
            continue
        indent = indent or depth
        match = _ARGUMENT.match(line.strip()) if depth == indent else None
        if match:
            current = match[1]
            docs[current] = match[2]
        elif current:
            docs[current] = f"{docs[current]} {line.strip()}".strip()
    return docs
