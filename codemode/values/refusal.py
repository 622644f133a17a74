"""The reason why a value cannot travel, and the path to the value."""

from __future__ import annotations

import re
from typing import Any, Final

from codemode.values.shortening import cut_middle
from codemode.values.wire_format import MAX_ITEMS

__all__ = ["RefusalError", "too_many"]

_LONGEST_PATH: Final = 240
_NAME_STEP: Final = re.compile(r"\['([^\W\d]\w*)'\]")


class RefusalError(Exception):
    """A problem on its way outwards, where each container adds its step of the path.

    ``whole`` marks a problem of the whole value. Its message does not show the
    path to the place where the problem was noticed.
    """

    def __init__(self, problem: str, *, whole: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.whole = whole
        self._steps: list[tuple[Any, str]] = []

    def within(self, parent: Any, step: str = "") -> RefusalError:
        """Add a value on the way out, and the step from it inwards; return self."""
        self._steps.append((parent, step))
        return self

    def message(self, path: str) -> str:
        """Return the path and the problem, or the cycle when the path has one."""
        if self.whole:
            return f"{path}: {self.problem}"
        seen: dict[int, str] = {}
        attribute = False
        for parent, step in reversed(self._steps):
            earlier = seen.setdefault(id(parent), path)
            if earlier is not path:
                return f"{path}: is {earlier} again; a cyclic structure cannot travel"
            name = _NAME_STEP.fullmatch(step) if attribute else None
            path += f".{name[1]}" if name else step
            attribute = not step and not isinstance(parent, dict)
        return f"{cut_middle(path, _LONGEST_PATH)}: {self.problem}"


def too_many() -> RefusalError:
    """Return the refusal of a value of more than ``MAX_ITEMS`` items."""
    return RefusalError(f"more than {MAX_ITEMS:,} items; send fewer, or a summary", whole=True)
