"""The words of a search: split, stemmed, without stop words, with their synonyms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import islice
from typing import NamedTuple

from codemode.catalogue.synonym_groups import GROUPS
from codemode.errors.base import ConfigurationError

__all__ = ["MAX_CHARACTERS", "Synonyms", "Term", "stem", "stems", "words"]

MAX_CHARACTERS = 300
"""The length at which the text of a search is cut: executed code chooses it."""

_MOST_TERMS = 16

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PHRASE_WORDS = 3

_STOP_WORDS = frozenset(
    """
    a about again all also am an and any anybody anyone anything are as at be been being but by
    can could did do does done each for from had has have having he her here him his how i if in
    into is it its just let like many may me more most much must my need needs no nor not now of
    off on once one only or other our out over own per please same shall she should so some
    somebody someone something such than that the their them then there these they thing this
    those to too under until up us very want wants was we were what when where whether which
    while who whom whose why will with would you your
    """.split()
)

# Words of everyday requests that are in the names and descriptions of tools as well, where they
# say something else: the *first* of two versions, a place in the *back*, the end of a *month*.
_FAINT = 0.5  # of the weight of another word
_FAINT_WORDS = frozenset(
    """
    add answer ask back bad bring call change come day days date enter fast find first fix get
    give go going good great hold hour keep know last late left long look make minute month
    morning name new next night noon number open part people place point put read right run say
    second see set short show start stop system take talk tell thing think time today tomorrow
    tonight turn use week weekend work world write year yesterday monday tuesday wednesday
    thursday friday saturday sunday january february march april june july august september
    october november december two three four five six ten twelve twenty
    """.split()
)


def words(text: str) -> list[str]:
    """Return the words of a text or of an identifier, in lower case and without accents."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in decomposed if not unicodedata.combining(one))
    return _WORD.findall(_HUMP.sub(" ", text).replace("'s ", " ").lower())


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return a word without its common English endings, so that its forms are equal."""
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        left = word.removesuffix(ending)
        if left != word and len(left) >= 3 and any(one in "aeiouy" for one in left):
            word = left[:-1] if left[-1] == left[-2] and left[-1] not in "lsz" else left
            break
    for ending, kept in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending) + kept
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word


_ENDINGS = (
    ("isation", "is"),
    ("ization", "is"),
    ("ation", "at"),
    ("ize", "is"),
    ("ise", "is"),
    ("iz", "is"),
    ("ment", ""),
    ("our", "or"),
    ("ally", "al"),
)


def stems(text: str) -> list[str]:
    """Return the stems of the words of a text that carry meaning."""
    return [stem(word) for word in words(text) if word not in _STOP_WORDS]


class Term(NamedTuple):
    """A stem of a search, what may stand for it, and how much it says: 1, or less."""

    stem: str
    synonyms: frozenset[str]
    weight: float = 1.0


class Synonyms:
    """A table of what else the words of a search may mean: the general one, and a project's own.

    ``own`` has the other words for a word or a phrase of up to three words.
    Raises ConfigurationError.
    """

    def __init__(self, own: Mapping[str, Iterable[str]] | None = None) -> None:
        self._own: dict[str, frozenset[str]] = {}
        for phrase, others in _checked(own or {}).items():
            meant = frozenset(one for other in others for one in stems(other))
            self._own[_key(words(phrase))] = meant

    @cached_property
    def _of(self) -> Mapping[str, frozenset[str]]:
        # Built by the first search: many processes never make one.
        general = _general()
        return general | {
            key: general.get(key, frozenset()) | meant for key, meant in self._own.items()
        }

    def expand(self, text: str) -> list[Term]:
        """Return the terms of a search.

        A phrase that has synonyms adds them under its own words, joined. The
        time of a search is bounded by a number of terms.
        """
        found = words(text[:MAX_CHARACTERS])
        terms: dict[str, Term] = {}
        for word in found:
            if word not in _STOP_WORDS:
                key = stem(word)
                weight = _FAINT if word in _FAINT_WORDS else 1.0
                terms[key] = Term(key, self._of.get(key, frozenset()), weight)
        for size in range(2, _PHRASE_WORDS + 1):
            for start in range(len(found) - size + 1):
                key = _key(found[start : start + size])
                if key in self._of:
                    terms[key] = Term(key, self._of[key])
        return list(islice(terms.values(), _MOST_TERMS))


def _checked(own: Mapping[str, Iterable[str]]) -> Mapping[str, Iterable[str]]:
    if not isinstance(own, Mapping):
        raise ConfigurationError(
            f"synonyms is {own!r}; expected a dict such as {{'RMA': ['return', 'refund']}}"
        )
    for phrase, others in own.items():
        wrong = isinstance(others, str | bytes) or not isinstance(others, Iterable)
        if wrong or not all(isinstance(one, str) for one in (phrase, *others)):
            raise ConfigurationError(
                f"synonyms has {phrase!r}: {others!r}; expected a word or phrase and a list of "
                "words that it may mean, such as 'RMA': ['return', 'refund']"
            )
        if not 1 <= len(words(phrase)) <= _PHRASE_WORDS:
            raise ConfigurationError(
                f"synonyms has the phrase {phrase!r}; expected one to {_PHRASE_WORDS} words"
            )
    return own


def _key(phrase: list[str]) -> str:
    return " ".join(map(stem, phrase))


@lru_cache(maxsize=1)
def _general() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for group in _groups():
        keys = [_key(words(phrase)) for phrase in group]
        single = {key for key in keys if " " not in key}
        for key in keys:
            table.setdefault(key, set()).update(single - {key})
    return {key: frozenset(meant) for key, meant in table.items()}


def _groups() -> Iterator[list[str]]:
    for line in GROUPS.strip().splitlines():
        yield [phrase.strip() for phrase in line.split(",")]
