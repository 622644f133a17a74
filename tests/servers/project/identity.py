"""The identity for which a piece of code works, as one string that the tests can compare."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from codemode.core.context import get_current_context

__all__ = ["identity", "note"]


def identity() -> str | None:
    """Return tenant and request of the current context; None without a context."""
    context = get_current_context()
    if context is None:
        return None
    return f"{context.get('tenant_id')} {context.get('request_id')}"


def note(record: dict[str, Any]) -> None:
    """Report something to the tests outside of a response. Workers append side by side."""
    path = Path(os.environ["SERVERS_NOTES"])
    line = json.dumps(record) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
