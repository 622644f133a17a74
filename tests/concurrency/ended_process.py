"""A process that executes code until it is ended: ``python -m tests.concurrency.ended_process``.

It prints the process id of the sandbox as soon as it knows it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import django
from django.core.management import execute_from_command_line

from codemode import ClientConfig, Codemode
from django_codemode.shared import register_tool
from tests.concurrency.deaths import PROLOGUE, STATES

# A sync tool ends by itself only, and holds up the end of its process for as long.
_HOLD_SECONDS = 2.0
MAX_OUTPUT_BYTES = 64 * 2**20


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


def execute_command(code: str, url: str) -> None:
    """Be ``manage.py codemode_exec``."""
    if url:
        os.environ["CODEMODE_EXECUTOR_URL"] = url
    os.environ["CODEMODE_LIMITS__MAX_OUTPUT_BYTES"] = str(MAX_OUTPUT_BYTES)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    for tool in (here, hold, endless):
        register_tool(tool.__name__, tool)
    execute_from_command_line(["manage.py", "codemode_exec", code])


def main(half: str, state: str, url: str) -> None:
    if half == "codemode_exec":
        execute_command(PROLOGUE + STATES[state], url)
        return
    limits = {"max_output_bytes": MAX_OUTPUT_BYTES}
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
