"""Imports of tools, as in ``from orders import get``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from codemode.sandbox.guest.tools.toolbox import NAMESPACES

__all__ = ["ToolImporter"]

_modules = sys.modules


class ToolImporter:
    """A finder that comes last, so that every real module of the same name goes before it."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}

    def install(self) -> None:
        """Join the finders of this process."""
        sys.meta_path.append(self)

    def offer(self, names: Mapping[str, Any]) -> None:
        """Let the code import these functions, namespaces and other objects."""
        self._names = dict(names)

    def offer_more(self, names: Mapping[str, Any]) -> None:
        """Let the code import these too."""
        self._names.update(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of an offered name."""
        loader: Any = self
        return ModuleSpec(name, loader) if path is None and name in self._names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the module to Python; ``exec_module`` replaces it."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the offered object in the place of the module, and namespaces inside beside it."""
        name = module.__name__
        inside = {name: self._names[name]}
        if name == "tools":
            others = {key: one for key, one in self._names.items() if key != "tools"}
            inside |= {f"tools.{key}": one for key, one in others.items()}
        while inside:
            dotted, found = inside.popitem()
            _modules[dotted] = found
            if type(found) in NAMESPACES:
                inside |= {f"{dotted}.{one}": getattr(found, one) for one in found.__dir__()}
