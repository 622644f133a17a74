"""What a model reads of the tools: the catalogue, the instructions, and stubs for checkers."""

from __future__ import annotations

from codemode.catalogue.catalogue import Catalogue, catalogue_of
from codemode.catalogue.instructions import instructions_for
from codemode.catalogue.stubs import render_records, render_stubs

__all__ = ["Catalogue", "catalogue_of", "instructions_for", "render_records", "render_stubs"]
