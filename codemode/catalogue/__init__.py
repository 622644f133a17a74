"""What a model reads of the tools: their stubs and records."""

from __future__ import annotations

from codemode.catalogue.stubs import render_records, render_stubs

__all__ = ["render_records", "render_stubs"]
