"""A file that executed code gave to its caller, with a name and a type that can be trusted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Self

__all__ = ["Artifact", "safe_name"]

_UNKNOWN: Final = "application/octet-stream"
_SUFFIXES: Final = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
}
_MARKS: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
)

_MOST_BYTES: Final = 150
_MOST_SUFFIX: Final = 20
_MOST_EXAMINED: Final = 1_000
_PUNCTUATION: Final = frozenset(" ._-()+,=@")
_DEVICES: Final = re.compile(r"(?i:aux|con|nul|prn|com[0-9]|lpt[0-9])(?![^. ])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that the code gave by ``artifact(path)``, or a figure that it left open.

    The code is hostile, and so may be each byte of ``data``. ``name`` is a name
    without a path, of letters, digits and a few marks, and is unique in a
    result. ``media_type`` comes from the first bytes: PNG, JPEG, GIF and WebP
    are recognised, everything else is ``application/octet-stream``.
    """

    name: str
    media_type: str
    data: bytes = field(repr=False)

    @classmethod
    def received(cls, name: str, data: bytes, taken: Container[str] = ()) -> Self:
        """Return the artifact for a name and bytes from the code; ``taken`` are names in use."""
        media_type = next((kind for mark, kind in _MARKS if mark.match(data)), _UNKNOWN)
        name = safe_name(name)
        suffixes = _SUFFIXES.get(media_type, ())
        # A picture that is saved under its name must not become a page or a program.
        if suffixes and not name.lower().endswith(suffixes):
            name = f"{name}{suffixes[0]}"
        return cls(name=_unique(name, taken), media_type=media_type, data=data)

    @property
    def is_image(self) -> bool:
        """Whether a page may show the data: it begins as a picture of pixels does."""
        return self.media_type in _SUFFIXES

    @property
    def summary(self) -> str:
        """The name with the size, and with the type of an image, for a person or a model."""
        size = _size(len(self.data))
        return f"{self.name} ({f'{self.media_type}, ' if self.is_image else ''}{size})"


def safe_name(name: str) -> str:
    """Return a name for a file in any system, made of what a hostile one has that is harmless.

    It has letters, digits and a few marks, within 150 bytes: no folders, no
    control or formatting characters, and nothing that Windows, a shell or a
    header of HTTP reads as something else.
    """
    last = re.split(r"[/\\]", name[-_MOST_EXAMINED:])[-1]
    text = unicodedata.normalize("NFC", last)
    text = "".join(one if _is_harmless(one) else "_" for one in text)
    text = text.lstrip(" .-").rstrip(" .")
    stem, dot, suffix = text.rpartition(".")
    if not stem or len(suffix) > _MOST_SUFFIX:
        stem, dot, suffix = text, "", ""
    cut = stem.encode()[: _MOST_BYTES - len(suffix.encode())].decode(errors="ignore")
    text = f"{cut.rstrip(' .')}{dot}{suffix}"
    if _DEVICES.match(text):
        text = f"_{text}"
    return text if text.strip("._ ") else "artifact"


def _is_harmless(one: str) -> bool:
    return one in _PUNCTUATION or unicodedata.category(one)[0] in "LMN"


def _unique(name: str, taken: Container[str]) -> str:
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    names = (f"{stem}-{number}{dot}{suffix}" for number in count(2))
    return name if name not in taken else next(one for one in names if one not in taken)


def _size(size: int) -> str:
    if size < 1024:
        return f"{size} byte{'s' * (size != 1)}"
    if size < 1024 * 1024:
        return f"{size / 1024:.0f} KiB"
    return f"{size / 1024 / 1024:.1f} MiB"
