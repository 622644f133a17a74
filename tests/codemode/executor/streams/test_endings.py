"""The ending that the death of a sandbox is reported as."""

from __future__ import annotations

import os
import signal
from typing import cast

import pytest

from codemode import Limits
from codemode.executor.pool.children import Child, Exit
from codemode.executor.streams.endings import ending_of_exit
from codemode.executor.streams.event_writer import EventWriter
from codemode.executor.streams.run import Run, RunTerms
from codemode.protos import codemode_pb2 as pb


@pytest.mark.parametrize(
    "cpu_limit, cpu_seconds, taken_for",
    [
        # The kernel counts in ticks, possibly more CPU time than was really used.
        (1.0, 0.55, "CpuLimit"),
        (1.0, 0.3, "Killed"),
        (30.0, 29.0, "CpuLimit"),
        (30.0, 24.0, "Killed"),
        (600.0, 590.0, "CpuLimit"),
        (600.0, 550.0, "Killed"),
    ],
)
def test_kill_near_the_cpu_limit_is_reported_as_the_limit(
    cpu_limit: float, cpu_seconds: float, taken_for: str
) -> None:
    exit = Exit(status=signal.SIGKILL, cpu_seconds=cpu_seconds, max_rss_bytes=0)
    assert ending_of_exit(exit, Limits(), cpu_limit, "").type == taken_for


def test_a_process_without_its_channel_has_exited_early() -> None:
    exit = Exit(status=signal.SIGKILL, cpu_seconds=0.0, max_rss_bytes=0)
    ending = ending_of_exit(exit, Limits(), 1.0, "last words", hung_up=True)
    assert ending.type == "ExitedEarly"
    assert ending.message.endswith("last words")


def test_full_control_group_takes_precedence_over_cpu_time() -> None:
    exit = Exit(status=signal.SIGKILL, cpu_seconds=1.0, max_rss_bytes=0, out_of_memory=True)
    assert ending_of_exit(exit, Limits(), 1.0, "").type == "MemoryLimit"


@pytest.mark.parametrize("code", [0, 1, 70, 255])
def test_no_exit_status_means_that_code_has_not_run(code: int) -> None:
    exit = Exit(status=code << 8, cpu_seconds=0.0, max_rss_bytes=0)
    assert ending_of_exit(exit, Limits(), 1.0, "").type == "ExitedEarly"


async def test_usage_of_a_reaped_process_is_not_that_of_the_next_one_with_its_pid() -> None:
    child = Child(number=1, max_frame_bytes=1)
    child.pid = os.getpid()  # as if a gone child's number had been given to this process
    child.set_exited(Exit(status=0, cpu_seconds=0.25, max_rss_bytes=4096))
    terms = RunTerms(limits=Limits(), timeout=1.0, cpu_limit=1.0)
    run = Run(pb.Run(run_id=1), terms, child=child, events=cast(EventWriter, None))
    usage = run._usage()
    assert (usage.cpu_seconds, usage.max_rss_bytes) == (0.25, 4096)
