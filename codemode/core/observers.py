"""The former place of the observers' types, which are in ``codemode.core.hooks``."""

from __future__ import annotations

from codemode.core.hooks import Execution, ExecutionObserver

__all__ = ["Execution", "ExecutionObserver"]
