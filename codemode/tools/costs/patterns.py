"""The cost of matching a text against a pattern.

Pydantic's engine is linear in the text, but each character may cost as much as
the pattern is long once its repetitions are written out: ``a[ab]{900}c`` is
followed from 900 places at once. Which text is dear shows only when it is
matched: host names cost a hundredth of what their pattern could. So the longer
the pattern, the shorter each text must be; and once all texts together could
have been dear, the CPU time that they take is bounded.
"""

from __future__ import annotations

import re
from typing import Any, Final

from codemode.tools.costs.metering import current

__all__ = ["PatternCharge", "places_of"]

MAX_PLACES: Final = 12
"""Places of a pattern whose combinations the engine remembers, so that no text is dear."""

_PLACES: Final = 30
"""Places that cost what a character costs besides."""
_MAX_PLACES: Final = 10**9

_GROUP: Final = re.compile(r"\(\?(?:P?<[^>]*>|[a-zA-Z-]*:)")
_FLAGS: Final = re.compile(r"\(\?[a-zA-Z-]*\)")
_ESCAPE: Final = re.compile(r"\\(?:[pPxuU]\{[^}]*\}|.)", re.DOTALL)
_NOTHING: Final = re.compile(r"[\^$]|\\[AzbB]")
_COUNT: Final = re.compile(r"\{\s*(\d*)\s*(,?)\s*(\d*)\s*\}")


class PatternCharge:
    """The count of a match, in front of the text that is matched."""

    def __init__(self, places: int) -> None:
        self._rate = places + _PLACES

    def __call__(self, value: Any) -> Any:
        if type(value) is str or type(value) is bytes:
            current.get().charge_text(len(value) * self._rate)
        return value


def places_of(pattern: str) -> int:
    """Return from how many places of a pattern a text may be followed at once.

    Of a pattern that begins with ``^``, only what comes after its first part of
    variable length counts.
    """
    sequences = _Reader(pattern).sequences()
    places = sum(size for parts in sequences for size, _, _ in parts)
    if len(sequences) > 1 or not pattern.startswith(("^", r"\A")):
        return places
    for size, is_variable, is_single in sequences[0]:
        if is_variable:
            return places - size if is_single else places
        places -= size
    return 0


type _Part = tuple[int, bool, bool]
"""Places, whether the length varies, and whether it is one character or class, repeated."""


class _Reader:
    """A reader of the parts of a pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def sequences(self) -> list[list[_Part]]:
        """Return the parts of each alternative, up to the end of the group."""
        found: list[list[_Part]] = [[]]
        while self._at < len(self._pattern) and not self._take(")"):
            if self._take("|"):
                found.append([])
                continue
            size, varies = self._atom()
            is_single = size == 1 and not varies
            low, high = self._repetitions()
            size = min(size * high, _MAX_PLACES)
            found[-1].append((size, varies or low != high, is_single))
        return found

    def _take(self, text: str) -> bool:
        if not self._pattern.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _matched(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._pattern, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _atom(self) -> tuple[int, bool]:
        if self._matched(_NOTHING) or self._matched(_FLAGS):
            return 0, False
        if self._matched(_GROUP) or self._take("("):
            inner = self.sequences()
            parts = [part for parts in inner for part in parts]
            size = min(sum(part[0] for part in parts), _MAX_PLACES)
            return size, len(inner) > 1 or any(part[1] for part in parts)
        if self._take("["):
            self._class()
        elif not self._matched(_ESCAPE):
            self._at += 1
        return 1, False

    def _class(self) -> None:
        depth = 1
        self._take("^")
        self._take("]")
        while depth and self._at < len(self._pattern):
            if self._take("["):
                depth += 1
            elif self._take("]"):
                depth -= 1
            elif not self._matched(_ESCAPE):
                self._at += 1

    def _repetitions(self) -> tuple[int, int]:
        """Return the least number of repetitions, and the number of those written out."""
        low = high = 1
        while True:
            if found := self._matched(_COUNT):
                least = int(found[1] or 0)
                most = int(found[3] or least + 1) if found[2] else least
            elif self._take("+"):
                least, most = 1, 2
            elif self._take("*") or self._take("?"):
                least, most = 0, 1
            else:
                return low, high
            low *= least
            high = min(high * most, _MAX_PLACES)
