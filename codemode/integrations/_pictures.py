"""The pictures of an outcome, for models that can look at them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

from codemode.core.result import ExecutionResult

__all__ = ["Picture", "pictures_of"]

_MOST_BYTES = 3_750_000  # 5 MB in Base64, which is what models' providers take
_MOST_PICTURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture. ``media_type`` is that of PNG, JPEG, GIF or WebP."""

    media_type: str
    data: bytes

    @property
    def base64(self) -> str:
        """The data in Base64."""
        return b64encode(self.data).decode("ascii")

    @property
    def url(self) -> str:
        """The picture as a ``data:`` URL."""
        return f"data:{self.media_type};base64,{self.base64}"


def pictures_of(result: ExecutionResult | None) -> list[Picture]:
    """Return the artifacts of an outcome that a model can look at.

    A picture that is too large for models is left out; the text of the outcome
    names it.
    """
    artifacts = () if result is None else result.artifacts
    seen = [one for one in artifacts if one.is_image and len(one.data) <= _MOST_BYTES]
    return [Picture(media_type=one.media_type, data=one.data) for one in seen[:_MOST_PICTURES]]
