"""Artifacts of executed code as content of an answer by MCP."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

from mcp_types import Annotations, BlobResourceContents, EmbeddedResource, ImageContent

from codemode.core.artifact import Artifact
from codemode.core.result import ExecutionResult
from django_codemode.mcp.answers import artifacts_sent

__all__ = ["content_of"]


def content_of(result: ExecutionResult) -> list[ImageContent | EmbeddedResource]:
    """Return pictures, for the model and the user, and other files, for the user alone."""
    return [_content(one, result.execution_id) for one in artifacts_sent(result)]


def _content(artifact: Artifact, execution_id: str) -> ImageContent | EmbeddedResource:
    data = b64encode(artifact.data).decode("ascii")
    if artifact.is_image:
        return ImageContent(data=data, mime_type=artifact.media_type)
    return EmbeddedResource(
        resource=BlobResourceContents(
            uri=f"artifact://{execution_id}/{quote(artifact.name)}",
            mime_type=artifact.media_type,
            blob=data,
        ),
        annotations=Annotations(audience=["user"]),
    )
