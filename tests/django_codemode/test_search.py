"""The settings of the search decide what the code of an execution finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.test import override_settings

from codemode.tools.tool import Tool
from django_codemode import get_codemode


def nothing_but_slugs(text: str, tools: Mapping[str, Tool], limit: int) -> list[str]:
    return ["testapp.slugs"]


def found(text: str, **search: Any) -> list[str]:
    with override_settings(CODEMODE={**settings.CODEMODE, **search}):
        names = get_codemode().run(f"[one.name for one in tools.search({text!r}, 1)]").value
    assert isinstance(names, list)
    return names


def test_synonyms_and_search_hold_as_long_as_they_are_set() -> None:
    assert "merchant" in found("zork", SEARCH_SYNONYMS={"zork": ["merchant"]})
    assert found("zork", SEARCH=f"{__name__}.nothing_but_slugs") == ["testapp.slugs"]
    assert found("zork") == []


def test_a_search_that_the_project_has_set_itself_stays() -> None:
    registry = get_codemode().registry
    registry.set_search(nothing_but_slugs)
    try:
        assert found("merchant", MAX_ROWS=5) == ["testapp.slugs"]
    finally:
        registry.set_search()
