"""What a model reads of the tools: the catalogue, the instructions, and stubs for checkers.

The names below are loaded on first use: a process that only runs code needs few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemode._lazy import lazy_names

if TYPE_CHECKING:
    from codemode.catalogue.catalogue import Catalogue, catalogue_of
    from codemode.catalogue.help_text import help_texts
    from codemode.catalogue.instructions import Sandbox, instructions_for
    from codemode.catalogue.stubs import render_records, render_stubs

__getattr__ = lazy_names(
    __name__,
    {
        "codemode.catalogue.catalogue": ("Catalogue", "catalogue_of"),
        "codemode.catalogue.help_text": ("help_texts",),
        "codemode.catalogue.instructions": ("Sandbox", "instructions_for"),
        "codemode.catalogue.stubs": ("render_records", "render_stubs"),
    },
)

__all__ = [
    "Catalogue",
    "Sandbox",
    "catalogue_of",
    "help_texts",
    "instructions_for",
    "render_records",
    "render_stubs",
]
