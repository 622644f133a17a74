"""Why a value cannot travel, and the path to it."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["RefusalError", "shown"]

_LONGEST_PATH: Final = 240
_NAME_STEP: Final = re.compile(r"\['([^\W\d]\w*)'\]")


class RefusalError(Exception):
    """Carry a problem outwards while each container adds its step of the path.

    ``whole`` says that the problem is that of the whole value, so that no
    path to the place where it was noticed is shown.
    """

    def __init__(self, problem: str, *, whole: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.whole = whole
        self._steps: list[tuple[Any, str]] = []

    def within(self, parent: Any, step: str = "") -> RefusalError:
        """Note a value on the way out, and the step from it inwards; return self."""
        self._steps.append((parent, step))
        return self

    def message(self, path: str) -> str:
        """Return the problem after the path to it, or what closes a cycle."""
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
        return f"{_short(path, _LONGEST_PATH)}: {self.problem}"


def shown(value: Any) -> str:
    """Return a short ``repr``, or the type where there is none."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 the code's own __repr__, or an integer of too many digits
        return f"<{type(value).__name__}>"
    return _short(text, 60)


def _short(text: str, most: int) -> str:
    half = most // 2 - 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"
