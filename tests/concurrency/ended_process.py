"""A process that executes code until it is ended: ``python -m tests.concurrency.ended_process``.

It prints the process id of the sandbox as soon as that is known. The end of its stdin releases
whatever delays it.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys

import django
from django.core.management import execute_from_command_line

from codemode import ClientConfig, Codemode
from django_codemode.shared import register_tool
from tests.support.deaths import PROLOGUE, STATES

# The code has more time than any test, so its timeout is never what ends it.
LIMITS = {"max_output_bytes": 64 * 2**20, "execution_timeout": 600}


def here(pid: int) -> None:
    print(pid, flush=True)


def hold() -> None:
    """Block in a sync tool, which ends only by itself and delays the end of its process as long."""
    os.read(0, 1)


async def endless() -> None:
    try:
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0.01)
        print("unwound", flush=True)


def consume(codemode: Codemode, code: str) -> None:
    """Execute, and read no more events once there is output."""
    with codemode.stream(code) as events:
        for event in events:
            if event.type == "output":
                os.read(0, 1)


async def consume_async(codemode: Codemode, code: str) -> None:
    async with codemode.stream(code) as events:
        async for event in events:
            while event.type == "output" and not select.select([0], [], [], 0)[0]:
                await asyncio.sleep(0.01)


def execute_command(code: str, url: str) -> None:
    """Run ``manage.py codemode_exec``."""
    if url:
        os.environ["CODEMODE_EXECUTOR_URL"] = url
    for name, limit in LIMITS.items():
        os.environ[f"CODEMODE_LIMITS__{name.upper()}"] = str(limit)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    for tool in (here, hold, endless):
        register_tool(tool.__name__, tool)
    execute_from_command_line(["manage.py", "codemode_exec", code])


def main(half: str, state: str, url: str) -> None:
    if half == "codemode_exec":
        execute_command(PROLOGUE + STATES[state], url)
        return
    config = ClientConfig(executor_url=url or None, limits=LIMITS)
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
