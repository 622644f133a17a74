"""The SDK's core: context, registry, dispatcher and client."""

from __future__ import annotations

from codemode.installed import refuse_mixture

refuse_mixture()  # first, because a foreign file's import would fail without the reason

from codemode.core.registry import ComponentRegistry  # noqa: E402

__all__ = ["ComponentRegistry"]
