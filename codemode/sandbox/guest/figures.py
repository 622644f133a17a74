"""The figures of matplotlib that are open at the end of a run, as artifacts."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

from codemode.sandbox.guest.artifacts import Artifacts

__all__ = ["is_drawing", "send_figures", "uses_pyplot"]

_PYPLOT = "matplotlib.pyplot"
_modules = sys.modules


def uses_pyplot() -> bool:
    """Return whether the code has imported pyplot, which keeps figures until they are closed."""
    return _PYPLOT in _modules


def send_figures(artifacts: Artifacts, *, wanted: bool) -> Iterator[str]:
    """Send the open figures as pictures if they are ``wanted``; close all of them.

    None are sent where the code itself has given pictures: these are its
    choice. Yields a remark for the model on what is not sent. Raises
    MemoryError.
    """
    pyplot: Any = _modules[_PYPLOT]
    try:
        numbers = pyplot.get_fignums()
        if wanted and artifacts.accepted:
            yield from _send(pyplot, numbers, artifacts)
        pyplot.close("all")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # the code may have replaced parts of pyplot
        yield f"open figures were not sent: {type(error).__name__}: {error}"


def _send(pyplot: Any, numbers: list[int], artifacts: Artifacts) -> Iterator[str]:
    if (given := artifacts.pictures) and len(numbers) > given:
        yield (
            f"{len(numbers)} open figures were not sent, as artifact() gave {given} "
            f"picture{'s' * (given > 1)}: give each figure by artifact(), or none"
        )
    if given:
        return
    for place, number in enumerate(numbers, start=1):
        try:
            picture = io.BytesIO()
            pyplot.figure(number).savefig(picture, format="png")
            artifacts.send(f"figure-{place}.png", picture.getvalue())
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # the code has ended, and keeps its value
            yield f"figure {number} was not sent: {type(error).__name__}: {error}"


def is_drawing(value: Any) -> bool:
    """Return whether a value is what functions of matplotlib return: axes, lines, patches."""
    return any(type(one).__module__.partition(".")[0] == "matplotlib" for one in _parts(value))


def _parts(value: Any) -> list[Any]:
    kind = type(value)
    if kind is list or kind is tuple:
        return [value, *value]
    if kind.__module__ == "numpy" and value.dtype == object:
        return [value, *value.ravel().tolist()]
    return [value]
