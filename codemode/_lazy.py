"""Names of a package that are loaded on first use (PEP 562).

Only for names that no execution needs: a process that forks while another thread
imports a module leaves its child the lock of that module, held forever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, sources: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package: it loads a name from the module that has it."""
    module_of = {name: module for module, names in sources.items() for name in names}

    def load(name: str) -> Any:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)  # not asked again
        return value

    return load
