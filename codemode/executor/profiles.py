"""What the zygotes preload, by profile."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PROFILES"]

# What a model's code imports most. Each costs its import once, in the zygote;
# everything else of the standard library is imported on demand.
_STANDARD_LIBRARY = (
    "abc",
    "asyncio",
    "base64",
    "bisect",
    "calendar",
    "collections.abc",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "io",
    "itertools",
    "json",
    "math",
    "operator",
    "pathlib",
    "random",
    "re",
    "statistics",
    "string",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
    "uuid",
    "zoneinfo",
)

PROFILES: Mapping[str, tuple[str, ...]] = {"default": _STANDARD_LIBRARY}
