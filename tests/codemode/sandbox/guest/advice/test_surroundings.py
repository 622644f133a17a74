"""Tests of advice on what the sandbox has and has not, with installed packages."""

from __future__ import annotations

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.support.serving import serving

INSTALLED = ("anyio", "certifi", "h11", "httpcore", "httpx", "idna")
LISTED = f"there are Python's standard library and {', '.join(INSTALLED)}"
NO_NETWORK = "there is no network here: data comes from tools, or as inputs of the run"

# What libraries raise that are loaded with too little memory or too few threads.
NO_SEGMENT = """\
error = ImportError('libx.so: failed to map segment from shared object')
(0 for _ in ()).throw(error)"""
NO_THREAD = """\
kind = type('PanicException', (BaseException,), {'__module__': 'pyo3_runtime'})
(0 for _ in ()).throw(kind('failed to spawn thread: Os { code: 11 }'))"""

ADVICE = {
    "import httpx\nhttpx.get('https://example.com/')": NO_NETWORK,
    "import htpx": f"Did you mean httpx or http? htpx is not installed: {LISTED}",
    "import numpy": f"numpy is not installed: {LISTED}",
    "import httpx.nothing": "httpx is installed, but has no module httpx.nothing",
    "globals()\nhttpx.get('https://example.com/')": "write: import httpx",
    "import httpx\nhttpx.URL(5)": "",
    NO_SEGMENT: "the run's memory limit is reached while the library is loaded: import it first",
    NO_THREAD: "a library could start no thread: the run's limit of threads or memory is reached",
}


async def test_advice_knows_the_installed_packages() -> None:
    told = {}
    with tempfile.TemporaryDirectory(prefix="cm-test-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for package in INSTALLED:
            spec = find_spec(package)
            assert spec is not None
            assert spec.origin is not None
            shutil.copytree(Path(spec.origin).parent, folder / package)
        async with serving(packages=(folder,)) as (codemode, _):
            for code in ADVICE:
                error = (await codemode.run_async(code)).error
                assert error is not None
                told[code] = error.message.partition("\n")[2]
    assert told == ADVICE
