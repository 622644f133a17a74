"""A message passes through no more threads of the executor than necessary."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from codemode import ClientConfig, Codemode
from tests.support.processes import ExecutorProcess

CALLS = 300


def rounds_of_grpcs_pool(pid: int) -> int:
    """Return how often the threads of gRPC's pool have waited for work."""
    rounds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            if (task / "comm").read_text().startswith("event_engine"):
                status = (task / "status").read_text()
                rounds += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return rounds


@pytest.mark.parametrize("experiments", [None, "event_engine_listener"])
def test_messages_bypass_grpcs_pool_unless_it_is_configured(
    experiments: str | None,
) -> None:
    environment = {"GRPC_EXPERIMENTS": experiments} if experiments else {}
    with ExecutorProcess(environment=environment) as executor:
        config = ClientConfig(executor_url=executor.url)
        with Codemode.from_client_config(config) as codemode:
            codemode.registry.register_tool("add", lambda a, b: a + b)
            before = rounds_of_grpcs_pool(executor.pid)
            result = codemode.run(f"for i in range({CALLS}): last = add(i, 1)\nlast")
            rounds = rounds_of_grpcs_pool(executor.pid) - before
    assert result.value == CALLS
    assert (rounds > CALLS) is bool(experiments), rounds
