"""What code does to its sandbox affects its own stream only, in bounded time and memory."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import weakref
from typing import Any

import pytest

from codemode import Codemode
from codemode.errors import ExecutorConnectionError
from codemode.executor.pool.children import Child
from codemode.executor.streams import execute_stream as executor_stream
from codemode.executor.streams import sandbox_opening as opening
from codemode.executor.streams.run import Run
from codemode.protos import codemode_pb2 as pb
from tests.support.gate import Gate
from tests.support.puppets import (
    COMPLETED,
    TAKEN,
    Hearer,
    puppet_child,
    serve,
)
from tests.support.serving import serving

MUCH = b"x" * 4_000_000

# After its run, the sandbox reads nothing more.
DEAF = """
import threading
from codemode.sandbox.guest.frame_socket import FrameSocket
FrameSocket.receive = lambda socket: threading.Event().wait()
"""

# The sandbox ends when it receives its next run, before it confirms it.
FORGER = """
import os
from codemode.sandbox.guest.frame_socket import FrameSocket
receive = FrameSocket.receive
FrameSocket.receive = lambda socket: os._exit(len(receive(socket)))
os.write(2, b"2026-01-01 CRITICAL codemode.executor: a forged line\\n")
"""


async def test_a_sender_that_stops_waiting_for_a_sandbox_stops_no_other() -> None:
    async with puppet_child() as puppet:
        child = puppet.child
        first, second = (asyncio.create_task(child.frames.send(MUCH)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait((first,))
        assert first.cancelled()
        assert not second.done()
        child.close()
        await asyncio.wait_for(second, 60)


def test_code_that_the_sandbox_does_not_read_ends_by_its_timeout(codemode: Codemode) -> None:
    with codemode.session() as session:
        assert session.run(DEAF).ok
        assert session.run("1", inputs={"x": MUCH}, execution_timeout=0.5).status == "timeout"


async def test_a_session_keeps_no_run_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Watched(Run):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(weakref.ref(self))

    monkeypatch.setattr(executor_stream, "Run", Watched)
    async with serving() as (codemode, _), codemode.session() as session:
        for _ in range(5):
            assert (await session.run_async("1")).ok
        gc.collect()
        assert len(made) == 5
        assert [ref() for ref in made[:-1]] == [None] * 4


async def test_a_run_that_gets_a_second_sandbox_keeps_its_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Child] = []

    async def open_and_kill_the_first(child: Child, *arguments: Any, **options: Any) -> None:
        await open_sandbox(child, *arguments, **options)
        opened.append(child)
        if len(opened) == 1:
            os.kill(child.pid, signal.SIGKILL)

    open_sandbox = opening.open_sandbox
    monkeypatch.setattr(executor_stream, "open_sandbox", open_and_kill_the_first)
    gate = Gate()
    async with serving(max_concurrency=1) as (codemode, server):
        codemode.registry.register_tool("gate", gate)
        held = asyncio.create_task(codemode.run_async("await gate()"))
        await gate.holds(1)
        assert len(opened) == 2
        assert server.service is not None
        assert server.service.admission.running == 1
        gate.open()
        assert (await held).ok


async def test_a_finished_sandbox_does_not_wait_for_its_client_to_read() -> None:
    class Busy(Hearer):
        async def write(self, message: pb.ExecutorMessage) -> None:
            await super().write(message)
            if "completed" in self.kinds:
                await asyncio.wait_for(asyncio.shield(puppet.child.exited), 60)

    async with puppet_child() as puppet:
        data = TAKEN + COMPLETED
        hearer, survived = await serve(puppet, data, hang_up=False, session=False, hearer=Busy())
        assert hearer.kinds == ["started", "completed"]
        assert survived is False


async def test_code_writes_nothing_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (codemode, _), codemode.session() as session:
        assert (await session.run_async(FORGER)).ok
        with pytest.raises(ExecutorConnectionError, match="before it took the code"):
            await session.run_async("1")
    assert "a sandbox was lost" in caplog.text
    assert "forged" not in caplog.text


async def test_output_of_a_lost_sandbox_is_logged_on_one_truncated_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with puppet_child() as puppet:
        os.write(puppet.raw_write, b"x" * 5_000 + b"\nwhy\x1b[31m\n")
        _, survived = await serve(puppet, b"")
    assert survived is None
    (record,) = (one for one in caplog.records if one.levelno == logging.WARNING)
    assert record.getMessage().endswith(r"x\nwhy\x1b[31m\n'")
    assert len(record.getMessage()) < 2_500
