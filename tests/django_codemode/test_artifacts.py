"""An artifact reaches a browser as a picture or as a download, and never as a page."""

from __future__ import annotations

import pytest

from codemode import Artifact
from django_codemode.artifacts import artifact_response

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    "name, data, media_type, disposition",
    [
        ("a.png", PNG + b"<html>", "image/png", 'inline; filename="a.png"'),
        ("a.html", PNG + b"<html>", "image/png", 'inline; filename="a.html.png"'),
        ("a.svg", b"<svg/>", "application/octet-stream", 'attachment; filename="a.svg"'),
        (
            "../ä\r\nX: y\0.html",
            b"<html>",
            "application/octet-stream",
            "attachment; filename*=utf-8''%C3%A4__X_%20y_.html",
        ),
        ("a.csv", b"", "application/octet-stream", 'attachment; filename="a.csv"'),
    ],
)
def test_only_pictures_are_shown(name: str, data: bytes, media_type: str, disposition: str) -> None:
    response = artifact_response(Artifact.received(name, data))
    assert response.content == data
    assert response.headers["Content-Type"] == media_type
    assert response.headers["Content-Disposition"] == disposition
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
