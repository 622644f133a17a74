"""The SDK's core: context, registry, dispatcher and client."""

from __future__ import annotations

from codemode.core.registry import ComponentRegistry

__all__ = ["ComponentRegistry"]
