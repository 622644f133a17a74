"""An artifact has a name and a type that can be trusted, and comes back however its run ends."""

from __future__ import annotations

import asyncio
import unicodedata
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemode import Artifact, Codemode, ExecutionError, ExecutionResult
from codemode.config import Tier
from codemode.core.artifact import safe_name
from codemode.core.events import ExecutionCompleted
from tests.support.halves import Half
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.serving import serving

PNG = b"\x89PNG\r\n\x1a\n"
GIVES = (
    "from pathlib import Path\n"
    f"Path('sales.png').write_bytes({PNG!r} + bytes(1_000_000))\n"
    "Path('sales.csv').write_text('a,b')\n"
    "artifact('sales.png')\nartifact('sales.csv')\n"
)
BOTH = [("sales.png", "image/png", 1_000_008), ("sales.csv", "application/octet-stream", 3)]


def named(result: ExecutionResult) -> list[tuple[str, str, int]]:
    return [(one.name, one.media_type, len(one.data)) for one in result.artifacts]


def received(name: str, data: bytes = b"data", taken: tuple[str, ...] = ()) -> Artifact:
    return Artifact.received(name, data, taken)


@pytest.mark.parametrize(
    "name, safe",
    [
        ("sales.png", "sales.png"),
        ("Umsätze 2026 (Q1).csv", "Umsätze 2026 (Q1).csv"),
        ("売上.csv", "売上.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("/", "artifact"),
        ("..", "artifact"),
        ("", "artifact"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("a\0b.png", "a_b.png"),
        ("invoice\u202egnp.exe", "invoice_gnp.exe"),
        ("x\r\nSet-Cookie: a=1.png", "x__Set-Cookie_ a=1.png"),
        ('"; rm -rf $HOME; ".csv', "__ rm -rf _HOME_ _.csv"),
        ("a\u2028b\u200d\ufeff.txt", "a_b__.txt"),
        ("\ud800.txt", "_.txt"),
        ("con.txt", "_con.txt"),
        ("Nul .tar.gz", "_Nul .tar.gz"),
        ("contract.txt", "contract.txt"),
        ("name.", "name"),
    ],
)
def test_names_lose_what_is_not_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_every_name_is_safe(name: str) -> None:
    safe = safe_name(name)
    assert safe.encode().decode() == safe
    assert 0 < len(safe.encode()) <= 160
    assert safe[0] not in " .-"
    assert not set(safe) & set('/\\:*?"<>|\0\r\n')
    assert not any(unicodedata.category(one).startswith(("C", "Z")) for one in safe if one != " ")
    assert safe_name(safe) == safe


def test_long_names_keep_their_suffix() -> None:
    assert safe_name("é" * 10_000 + ".png").endswith("é.png")
    assert len(safe_name("x" * 10_000)) == 150
    assert safe_name("/" * 4_000_000) == "artifact"


def test_equal_names_become_different_ones() -> None:
    taken: dict[str, Artifact] = {}
    for _ in range(100):
        artifact = Artifact.received("report.csv", b"", taken)
        taken[artifact.name] = artifact
    assert list(taken)[:3] == ["report.csv", "report-2.csv", "report-3.csv"]
    assert len(taken) == 100
    assert received("report", taken=("report",)).name == "report-2"


@pytest.mark.parametrize(
    "data, media_type",
    [
        (PNG + b"<html><script>alert(1)</script>", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\n\0\n\0WEBPVP8 ", "image/webp"),
        (b"", "application/octet-stream"),
        (PNG[:-1], "application/octet-stream"),
        (b" " + PNG, "application/octet-stream"),
        (b"RIFF\n\0\n\0AVI ", "application/octet-stream"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "application/octet-stream"),
        (b"<html>", "application/octet-stream"),
        (b"BM\x00\x00", "application/octet-stream"),
        (b"%PDF-1.7", "application/octet-stream"),
    ],
)
def test_types_come_from_the_first_bytes_alone(data: bytes, media_type: str) -> None:
    artifact = received("figure.svg", data)
    assert artifact.media_type == media_type
    assert artifact.is_image is media_type.startswith("image/")
    assert artifact.data == data


@pytest.mark.parametrize(
    "name, kept",
    [
        ("page.html", "page.html.png"),
        ("run.exe", "run.exe.png"),
        ("figure.jpg", "figure.jpg.png"),
        ("FIGURE.PNG", "FIGURE.PNG"),
        ("figure", "figure.png"),
    ],
)
def test_a_picture_is_named_as_one(name: str, kept: str) -> None:
    assert received(name, PNG).name == kept


def test_summary_has_the_size_and_the_type_of_a_picture() -> None:
    assert received("a.png", PNG).summary == "a.png (image/png, 8 bytes)"
    assert received("a.csv", bytes(34_800)).summary == "a.csv (34 KiB)"
    assert received("a.zip", bytes(5_000_000)).summary == "a.zip (4.8 MiB)"


def test_an_artifact_is_a_small_record() -> None:
    artifact = received("a.csv", bytes(10_000))
    assert len(repr(artifact)) < 100
    with pytest.raises(FrozenInstanceError):
        artifact.name = "../a"  # type: ignore[misc]  # frozen


@pytest.mark.parametrize(
    "end, status",
    [
        ("7", "completed"),
        ("1 / 0", "failed"),
        ("print('x' * 2_000_000)", "limit"),
        ("import os; os._exit(3)", "crashed"),
        ("while True: pass", "timeout"),
    ],
)
def test_artifacts_come_back_however_the_run_ends(
    codemode: Codemode, half: Half, end: str, status: str
) -> None:
    result = half.run(codemode, GIVES + end, execution_timeout=2 if status == "timeout" else 30)
    assert result.status == status
    assert named(result) == BOTH
    assert result.artifacts[1].data == b"a,b"


def test_the_model_reads_their_names(codemode: Codemode) -> None:
    assert codemode.execute(GIVES) == (
        "Artifacts:\n- sales.png (image/png, 977 KiB)\n- sales.csv (3 bytes)"
    )
    with pytest.raises(ExecutionError) as caught:
        codemode.execute(GIVES + "1 / 0")
    assert "Artifacts:\n- sales.png" in caught.value.result.for_model()


def test_the_last_event_of_a_stream_has_them(codemode: Codemode) -> None:
    *_, last = codemode.stream(GIVES)
    assert isinstance(last, ExecutionCompleted)
    assert named(last.result) == BOTH


def test_each_run_of_a_session_has_its_own(codemode: Codemode) -> None:
    with codemode.session() as session:
        assert named(session.run(GIVES)) == BOTH
        assert named(session.run("artifact('sales.csv')")) == BOTH[1:]
        assert session.run("1").artifacts == ()


async def test_runs_at_once_get_their_own(codemode: Codemode) -> None:
    code = "open('a', 'w').write(text * 300_000)\nartifact('a')"
    results = await asyncio.gather(
        *(codemode.run_async(code, inputs={"text": text}) for text in "abcd")
    )
    assert [set(result.artifacts[0].data.decode()) for result in results] == [*map(set, "abcd")]


@pytest.mark.parametrize("tier", deep_except(("A", "B", "C"), "A"))
async def test_files_of_the_work_folder_are_given_in_each_tier(tier: Tier) -> None:
    needs_tier(tier)
    async with serving(tier) as (codemode, _):
        result = await codemode.run_async(GIVES + "artifact('/tmp/../etc/passwd')")
        assert named(result) == BOTH
        assert result.error is not None
        assert "is outside of the work folder" in result.error.message
