"""Whether a note says more than the names and types beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["says_more", "words_of"]

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\dA-Za-z_]+")
_GENITIVE = re.compile(r"['\u2019]s\b")

# Words that carry nothing of their own in a note such as "The id of the order to get".
_FILLERS = frozenset(
    "a an and as be by for from given in is it its of on one only or that the these this to "
    "which whose with value argument parameter optional default required return returns".split()
)
_OF_TYPES = {
    "int": "integer number whole",
    "float": "number",
    "decimal": "number amount",
    "str": "string text",
    "bool": "boolean flag whether if true false",
    "list": "all several",
    "dict": "mapping",
    "none": "nothing null",
}


def says_more(note: str, *known: str) -> bool:
    """Return whether a note has a word that is in none of the known names and types."""
    names = words_of(known)
    of_types = (_OF_TYPES.get(word, "").split() for word in names)
    return not words_of([note]) <= names.union(_FILLERS, *of_types)


def words_of(texts: Iterable[str]) -> set[str]:
    """Return the words of texts in lower case and in the singular; names are split up."""
    found = (word.lower() for text in texts for word in _WORD.findall(_GENITIVE.sub("", text)))
    return {word.removesuffix("s") if len(word) > 3 else word for word in found}
