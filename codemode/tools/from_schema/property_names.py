"""Names of properties as names of Python parameters."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["parameter_names"]


def parameter_names(properties: Iterable[str]) -> dict[str, str]:
    """Return the parameter name of each property.

    A property whose name is an identifier keeps it. In another name each other
    character becomes an underscore; a number is added where a name is taken, in
    the alphabetical order of the properties, so that their order in a schema
    decides nothing.
    """
    found = {name: name for name in properties}
    others = sorted(name for name in found if not _is_parameter(name))
    taken = set(found) - set(others)
    for name in others:
        base = candidate = _cleaned(name)
        number = 1
        while candidate in taken:
            number += 1
            candidate = f"{base}_{number}"
        taken.add(candidate)
        found[name] = candidate
    return found


def _is_parameter(name: str) -> bool:
    normal = unicodedata.normalize("NFKC", name) == name  # as Python reads it in code
    return normal and name.isidentifier() and not keyword.iskeyword(name)


def _cleaned(name: str) -> str:
    text = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", name)).strip("_") or "value"
    if keyword.iskeyword(text):
        return f"{text}_"
    return text if text.isidentifier() else f"_{text}"
