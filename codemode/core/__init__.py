"""The SDK's core: context, registry, dispatcher and client."""

from __future__ import annotations

from codemode.installed import refuse_mixture

refuse_mixture()  # before an import of a file that is not ours fails, and does not say why

from codemode.core.registry import ComponentRegistry  # noqa: E402

__all__ = ["ComponentRegistry"]
