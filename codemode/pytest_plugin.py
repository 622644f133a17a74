"""The cassette of a test for pytest, loaded on request: ``-p codemode.pytest_plugin``."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from codemode.testing import Cassette

__all__ = ["codemode_cassette"]

_RECORD, _RERECORD = "--codemode-record", "--codemode-rerecord"
_MOST_NAME = 120
_cassette: pytest.StashKey[Cassette] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that record."""
    group = parser.getgroup("codemode")
    group.addoption(
        _RECORD, action="store_true", help="run the tools of tests that have no cassette yet"
    )
    group.addoption(
        _RERECORD, action="store_true", help="run the tools, and record all cassettes anew"
    )


@pytest.fixture
def codemode_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """Answer the tool calls of this test from its file; see codemode.testing.use_cassette."""
    # Imported here: pytest loads its plugins early, and gRPC is large.
    from codemode.core._recording.source import use_source
    from codemode.testing import Cassette, CassetteMode

    config, item = request.config, request.node
    mode: CassetteMode = "replay"
    if config.getoption(_RERECORD):
        mode = "rerecord"
    elif config.getoption(_RECORD):
        mode = "record"
    path = cassette_path(request.path, item.nodeid)
    option = _RECORD if mode == "replay" and not path.exists() else _RERECORD
    # An id is relative to pytest's root, and the command is for where pytest was started.
    module = os.path.relpath(request.path, config.invocation_params.dir)
    test = "::".join([module, *item.nodeid.split("::")[1:]])
    cassette = Cassette(path, mode, f"pytest {option} {shlex.quote(test)}")
    item.stash[_cassette] = cassette
    with use_source(cassette):
        yield cassette


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Check a test's cassette as a part of the test, so that the test fails and not its end."""
    cassette = item.stash.get(_cassette, None)
    if cassette is None:
        return (yield)
    with cassette.judged():
        return (yield)


def cassette_path(module: Path, node_id: str) -> Path:
    """Return the file of a test: ``cassettes``, the module and the test's name.

    Of a name only letters, digits and ``_.-[]`` are kept; a digest keeps it
    apart from others where something is left out.
    """
    name = ".".join(node_id.split("::")[1:])
    safe = re.sub(r"[^A-Za-z0-9_.\[\]-]+", "-", name)[:_MOST_NAME]
    if safe != name:
        safe += f"-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
    return module.parent / "cassettes" / module.stem / f"{safe}.json"
