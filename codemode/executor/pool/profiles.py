"""Profiles: the modules that zygotes preload, and the distributions that these need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codemode.wire.profile_packages import PACKAGES_OF_PROFILES

__all__ = ["DEFAULT", "PROFILES", "Profile"]

DEFAULT = "default"
"""The profile of requests that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The modules that zygotes preload, and the distributions that they belong to.

    A profile is offered where its distributions are installed. Their requirements
    are included.
    """

    name: str
    modules: tuple[str, ...]
    distributions: tuple[str, ...] = ()


# The modules that a model's code imports most. Each is imported once, in the zygote;
# the rest of the standard library is imported on demand.
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

_DATA = PACKAGES_OF_PROFILES["data"]

PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name=DEFAULT, modules=_STANDARD_LIBRARY),
        # Its zygote is larger and forks more slowly, so this is a separate profile.
        Profile(name="data", modules=(*_STANDARD_LIBRARY, *_DATA), distributions=_DATA),
    )
}
