"""The outcome of a run as the page shows it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from codemode.core.artifact import Artifact
from codemode.core.result import ExecutionResult
from codemode.values import to_text
from django_codemode.playground.presentation import present

__all__ = ["File", "Output", "outcome_of", "output_of", "shown_arguments", "summary_of"]

MAX_OUTPUT = 100_000
MAX_ARGUMENTS = 2_000
MAX_COPY = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An artifact as the page offers it. ``url`` is a ``data:`` URL for an ``img`` or a download.

    Only a picture of pixels has ``is_image``; a browser that downloads another
    file opens nothing of it.
    """

    name: str
    summary: str
    url: str
    is_image: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The last characters of what the code printed; ``left_out`` counts those before them."""

    stdout: str
    stderr: str
    left_out: int


def outcome_of(result: ExecutionResult) -> dict[str, Any]:
    """Return the variables of the template that shows an outcome."""
    printed = result.value is None and bool(result.stdout or result.stderr)
    return {
        "result": result,
        "shown": present(result.value) if result.ok and not printed else None,
        "is_only_printed": result.ok and printed,
        "files": [_file(artifact) for artifact in result.artifacts],
        "text": result.for_model(),
        "cpu_ms": result.usage.cpu_seconds * 1000,
    }


def _file(artifact: Artifact) -> File:
    data = base64.b64encode(artifact.data).decode("ascii")
    return File(
        name=artifact.name,
        summary=artifact.summary,
        url=f"data:{artifact.media_type};base64,{data}",
        is_image=artifact.is_image,
    )


def summary_of(result: ExecutionResult) -> dict[str, Any]:
    """Return what the page's scripts need of an outcome, beside its HTML.

    ``wall_ms`` is the time of the code, without the wait for a sandbox; 0 if
    unknown. ``copy`` is the value as text, None if there is none or too much.
    """
    text = result.text if result.ok and result.value is not None else ""
    error = result.error
    return {
        "status": result.status,
        "error": {"type": error.type, "line": error.line} if error else None,
        "duration_ms": result.duration_ms,
        "wall_ms": result.usage.wall_seconds * 1000,
        "copy": text if 0 < len(text) <= MAX_COPY else None,
    }


def output_of(result: ExecutionResult) -> Output:
    """Return what the page shows of the output, where it did not see it as it came."""
    stdout, stderr = result.stdout[-MAX_OUTPUT:], result.stderr[-MAX_OUTPUT:]
    left_out = len(result.stdout) + len(result.stderr) - len(stdout) - len(stderr)
    return Output(stdout=stdout, stderr=stderr, left_out=left_out)


def shown_arguments(arguments: dict[str, Any]) -> str:
    """Return the arguments of a call as JSON, cut to MAX_ARGUMENTS characters."""
    text = to_text(arguments)
    return text if len(text) <= MAX_ARGUMENTS else f"{text[:MAX_ARGUMENTS]}…"
