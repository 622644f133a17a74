"""A process that executes code until it is ended: ``python -m tests.concurrency.ended_process``.

It prints the process id of the sandbox as soon as it knows it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from codemode import ClientConfig, Codemode
from tests.concurrency.deaths import PROLOGUE, STATES

# A sync tool ends by itself only, and holds up the end of its process for as long.
_HOLD_SECONDS = 2.0


def here(pid: int) -> None:
    print(pid, flush=True)


def hold() -> None:
    threading.Event().wait(_HOLD_SECONDS)


async def endless() -> None:
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        print("unwound", flush=True)


def consume(codemode: Codemode, code: str) -> None:
    """Execute, and take nothing more for a while once there is output."""
    seconds = _HOLD_SECONDS
    with codemode.stream(code) as events:
        for event in events:
            if event.type == "output":
                time.sleep(seconds)
                seconds = 0


async def consume_async(codemode: Codemode, code: str) -> None:
    seconds = _HOLD_SECONDS
    async with codemode.stream(code) as events:
        async for event in events:
            if event.type == "output":
                await asyncio.sleep(seconds)
                seconds = 0


def main(half: str, state: str, url: str) -> None:
    limits = {"max_output_bytes": 64 * 2**20}
    config = ClientConfig(executor_url=url or None, limits=limits)
    codemode = Codemode.from_client_config(config)
    for tool in (here, hold, endless):
        codemode.registry.register_tool(tool.__name__, tool)
    code = PROLOGUE + STATES[state]
    if half == "sync":
        consume(codemode, code)
    else:
        asyncio.run(consume_async(codemode, code))


if __name__ == "__main__":
    main(*sys.argv[1:])
