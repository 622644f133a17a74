"""The choice of the model: a real one with a provider's key in the environment, else a script."""

from __future__ import annotations

import os
from functools import cache

from django.utils.module_loading import import_string

from assistant.conversation import Model
from assistant.scripted import ScriptedModel

__all__ = ["PROVIDERS", "choose_model"]

# The variable of each provider's key, and its model unless ASSISTANT_MODEL names another.
PROVIDERS = {
    "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-4-5",
    "GOOGLE_API_KEY": "google:gemini-2.5-flash",
    "OPENAI_API_KEY": "openai:gpt-5",
}


@cache
def choose_model() -> Model:
    """Return the model that answers in this process."""
    for variable, name in PROVIDERS.items():
        if not os.environ.get(variable):
            continue
        try:
            # Imported by its path, because pydantic-ai may be missing.
            made: Model = import_string("assistant.live.LiveModel")(
                os.environ.get("ASSISTANT_MODEL", name)
            )
        except ImportError as error:
            return ScriptedModel(f"{variable} is set, but no real model can be used: {error}")
        return made
    return ScriptedModel(
        "A scripted model answers: it needs no key and no network, and knows the questions below. "
        "What it writes is prepared; the sandbox, the tools and the rows are real."
    )
