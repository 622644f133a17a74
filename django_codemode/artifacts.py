"""Artifacts of executed code in answers: as JSON, and as a response of their own."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from django.http import HttpResponse
from django.utils.http import content_disposition_header

from codemode.core.artifact import Artifact

__all__ = ["artifact_as_json", "artifact_response"]


def artifact_as_json(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as JSON values, with its bytes in Base64."""
    return {
        "name": artifact.name,
        "media_type": artifact.media_type,
        "size": len(artifact.data),
        "data": b64encode(artifact.data).decode("ascii"),
    }


def artifact_response(artifact: Artifact) -> HttpResponse:
    """Return a response with an artifact: a picture to be shown, any other file as a download.

    The bytes are hostile. The browser may not guess their type, and runs
    nothing of them, with the origin of no page.
    """
    disposition = content_disposition_header(not artifact.is_image, artifact.name)
    return HttpResponse(
        artifact.data,
        content_type=artifact.media_type,
        headers={
            "Content-Disposition": disposition or "inline",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )
