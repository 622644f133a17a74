"""The settings of the search decide what the code of an execution finds."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_django.fixtures import SettingsWrapper

from codemode.tools.tool import Tool
from django_codemode import get_codemode


def nothing_but_slugs(text: str, tools: Mapping[str, Tool], limit: int) -> list[str]:
    return ["testapp.slugs"]


def found(text: str) -> list[str]:
    names = get_codemode().run(f"[one.name for one in tools.search({text!r}, 1)]").value
    assert isinstance(names, list)
    return names


def test_synonyms_and_search_hold_as_long_as_they_are_set(settings: SettingsWrapper) -> None:
    settings.CODEMODE = {**settings.CODEMODE, "SEARCH_SYNONYMS": {"zork": ["merchant"]}}
    assert "merchant" in found("zork")
    settings.CODEMODE = {**settings.CODEMODE, "SEARCH": f"{__name__}.nothing_but_slugs"}
    assert found("zork") == ["testapp.slugs"]
    settings.CODEMODE = {
        name: value for name, value in settings.CODEMODE.items() if not name.startswith("SEARCH")
    }
    assert found("zork") == []


def test_a_search_that_the_project_has_set_itself_stays(settings: SettingsWrapper) -> None:
    registry = get_codemode().registry
    registry.set_search(nothing_but_slugs)
    try:
        settings.CODEMODE = {**settings.CODEMODE, "MAX_ROWS": 5}
        assert found("merchant") == ["testapp.slugs"]
    finally:
        registry.set_search()
