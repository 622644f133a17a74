"""Tests of advice on what the sandbox has and has not, with installed packages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from codemode import Codemode
from codemode.config import ClientConfig

INSTALLED = ("anyio", "certifi", "h11", "httpcore", "httpx", "idna")
NO_NETWORK = "there is no network here: data comes from tools, or as inputs of the run"


@pytest.fixture(scope="module")
def codemode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Codemode]:
    """Yield a facade whose code may import httpx."""
    folder = tmp_path_factory.mktemp("packages")
    for name in INSTALLED:
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, folder / name)
    with Codemode.from_client_config(ClientConfig(packages=(folder,))) as codemode:
        yield codemode


@pytest.mark.parametrize(
    "code, advice",
    [
        ("import httpx\nhttpx.get('https://example.com/')", NO_NETWORK),
        (
            "import htpx",
            "Did you mean httpx? htpx is not installed: there are Python's standard library and "
            f"{', '.join(INSTALLED)}",
        ),
        ("import httpx.nothing", "httpx is installed, but has no module httpx.nothing"),
        ("globals()\nhttpx.get('https://example.com/')", "write: import httpx"),
        (
            # What a library raises that is loaded with too little memory or too few threads.
            "error = ImportError('libx.so: failed to map segment from shared object')\n"
            "(0 for _ in ()).throw(error)",
            "the run's memory limit is reached while the library is loaded: import it first",
        ),
        (
            "kind = type('PanicException', (BaseException,), {'__module__': 'pyo3_runtime'})\n"
            "(0 for _ in ()).throw(kind('failed to spawn thread: Os { code: 11 }'))",
            "a library could start no thread: the run's limit of threads or memory is reached",
        ),
    ],
)
def test_advice_knows_the_installed_packages(codemode: Codemode, code: str, advice: str) -> None:
    result = codemode.run(code)
    assert result.error is not None
    assert result.error.message.partition("\n")[2] == advice


def test_a_library_that_fails_for_another_reason_gets_no_advice(codemode: Codemode) -> None:
    result = codemode.run("import httpx\nhttpx.URL(5)")
    assert result.error is not None
    assert "\n" not in result.error.message
