"""Values and texts of bounded length, for messages, records and logs."""

from __future__ import annotations

import itertools
import reprlib
from typing import Any, Final

__all__ = ["cut", "cut_middle", "shorten"]

_MAX_CHARACTERS: Final = 80
_MAX_PART: Final = 60


def cut(text: str, most: int) -> str:
    """Return a text unchanged, or its first ``most`` characters and an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}..."


def cut_middle(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters, with an ellipsis in place of its middle."""
    half = most // 2 - 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def shorten(value: object) -> str:
    """Return a repr of at most 80 characters, in little time however large the value is."""
    try:
        text = _short.repr(value)
    except Exception:  # noqa: BLE001 - __repr__ of others may do anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _MAX_CHARACTERS else cut(text, _MAX_CHARACTERS - 3)


class _Short(reprlib.Repr):
    """A repr of the beginning of a value only; ``reprlib.Repr`` sorts dicts and sets first."""

    def __init__(self) -> None:
        most = _MAX_PART
        super().__init__(
            maxstring=most, maxother=most, maxlong=most, maxlevel=2, maxdict=3, maxset=3
        )

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        parts = [
            f"{self.repr1(key, level - 1)}: {self.repr1(one, level - 1)}"
            for key, one in itertools.islice(value.items(), self.maxdict)
        ]
        return f"{{{', '.join(parts + ['...'] * (len(value) > self.maxdict))}}}"

    def repr_set(self, value: set[Any], level: int) -> str:
        return self._members(value, level) if value else "set()"

    def repr_frozenset(self, value: frozenset[Any], level: int) -> str:
        return f"frozenset({self._members(value, level)})" if value else "frozenset()"

    def _members(self, value: set[Any] | frozenset[Any], level: int) -> str:
        parts = [self.repr1(one, level - 1) for one in itertools.islice(value, self.maxset)]
        return f"{{{', '.join(parts + ['...'] * (len(value) > self.maxset))}}}"

    def repr_int(self, value: int, level: int) -> str:
        bits = value.bit_length()
        return super().repr_int(value, level) if bits < 1_024 else f"an int of {bits:,} bits"

    def repr_bytes(self, value: bytes, level: int) -> str:
        return repr(value[:_MAX_PART])

    def repr_instance(self, value: Any, level: int) -> str:
        try:
            return cut_middle(repr(value), self.maxother)
        except Exception:  # noqa: BLE001 - __repr__ of others may do anything
            return f"<{type(value).__name__}>"


_short = _Short()
