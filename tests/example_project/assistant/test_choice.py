from __future__ import annotations

import sys

import pytest

from assistant.choice import choose_model
from assistant.scripted import ScriptedModel


def test_without_a_key_the_model_is_scripted() -> None:
    model = choose_model()
    assert isinstance(model, ScriptedModel)
    assert "no key" in model.note


def test_a_key_without_the_package_is_reported_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setitem(sys.modules, "assistant.live", None)  # as if its import failed
    model = choose_model()
    assert isinstance(model, ScriptedModel)
    assert model.note.startswith("OPENAI_API_KEY is set, but no real model can be used: ")
