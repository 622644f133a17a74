"""The memory of a sandbox holds nothing that the code was not given: no key, no word of a former run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from codemode import ClientConfig, Codemode
from codemode.config import Tier
from tests.codemode.sandbox.attacks.battlefield import serving

_KEY = "the-key-of-this-executor-5d0c"
_SECRETS: Mapping[str, str] = {
    "the API key": _KEY,
    "a variable of the environment": "django-secret-77ab",
    "the code of a former run": "code-of-yesterday-91fe",
    "the inputs of a former run": "input-of-yesterday-3c2d",
    "what a tool returned to a former run": "value-of-yesterday-b0a1",
    "what a former run printed": "output-of-yesterday-44ee",
}
_CONTROL = "what the code itself holds"
_HELD = "held-by-the-code"

# All readable memory near what the code knows of: heap, stack, libraries, environment. The texts are
# looked for in place and by patterns that do not hold them as they are, so that nothing finds itself.
_SCAN = """
import ctypes, os, re
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
PAGE, GAP = 4096, 40_000
searches = {name: re.compile(pattern).search for name, pattern in patterns.items()}
reader, writer = os.pipe()
held = ''.join(['held-by', '-the-', 'code'])
here = ctypes.create_string_buffer(1)

def mapped(address):
    return libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), here) == 0

def readable(address):
    # The kernel looks first, and refuses where a look of our own would end the process.
    if libc.write(writer, ctypes.c_void_p(address), ctypes.c_size_t(1)) != 1:
        return False
    return os.read(reader, 1) is not None

environ = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, 'environ')
starts = [libc.sbrk(0) - 1, id(held), id(object), ctypes.addressof(here), environ[0],
          *(ctypes.cast(f, ctypes.c_void_p).value for f in (libc.getpid, ctypes.pythonapi.Py_GetVersion))]
seen, found = set(), set()
for start in starts:
    start &= ~(PAGE - 1)
    for step in (PAGE, -PAGE):
        address, gap = start, 0
        while gap < GAP and 0 < address < 1 << 47 and address not in seen:
            if mapped(address):
                gap = 0
                seen.add(address)
                if readable(address):
                    page = (ctypes.c_char * PAGE).from_address(address)
                    found.update(name for name, search in searches.items() if search(page))
            else:
                gap += 1
            address += step
        start += step
result = {'found': sorted(found), 'bytes': len(seen) * PAGE}
"""


def test_memory_holds_no_secret_and_nothing_of_former_runs(
    tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SECRET_KEY", _SECRETS["a variable of the environment"])
    monkeypatch.setenv("CODEMODE_EXECUTOR_API_KEY", _KEY)

    def remember() -> str:
        return _SECRETS["what a tool returned to a former run"]

    async def scan() -> Mapping[str, object]:
        async with serving(tier, api_key=_KEY, pool_size=2) as (_, server):
            config = ClientConfig(executor_url=server.addresses[0], executor_api_key=_KEY)
            async with Codemode.from_client_config(config) as codemode:
                codemode.registry.register_tool("remember", remember)
                former = await codemode.run_async(
                    f"x = {_SECRETS['the code of a former run']!r}\n"
                    f"print({_SECRETS['what a former run printed']!r}, given)\nremember()",
                    inputs={"given": _SECRETS["the inputs of a former run"]},
                )
                assert former.value == _SECRETS["what a tool returned to a former run"]
                # "[t]his" matches "this" and is another text.
                patterns = {
                    name: f"[{text[0]}]{text[1:]}".encode()
                    for name, text in {**_SECRETS, _CONTROL: _HELD}.items()
                }
                result = await codemode.run_async(
                    _SCAN, inputs={"patterns": patterns}, execution_timeout=100
                )
                assert result.error is None
                seen: Mapping[str, object] = result.value
                return seen

    seen = asyncio.run(scan())
    assert seen["found"] == [_CONTROL]
    assert int(str(seen["bytes"])) > 10 * 1024 * 1024
