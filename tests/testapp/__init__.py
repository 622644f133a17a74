"""An app of the tests: tools and views that show where they run."""

from __future__ import annotations
