"""An embedded executor ends with its process, however the process ends."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.support.embedded_host import (
    all_gone,
    command,
    environment,
    family,
    leftovers,
    run_program,
)
from tests.support.marks import deep_except
from tests.support.paths import ROOT
from tests.support.processes import wait_until

START = """
import os, sys, threading, time
from codemode import Codemode
codemode = Codemode()
assert codemode.run("6 * 7").value == 42
print(codemode.client.embedded.pid, flush=True)
"""

ENDS = {
    "the end of the program": "",
    "sys.exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "os._exit in a run": "threading.Timer(0.3, os._exit, (0,)).start()\n"
    "codemode.run('while True: pass')",
}


@pytest.mark.parametrize(
    "end", deep_except(ENDS.values(), ENDS["sys.exit"], ENDS["os._exit in a run"]), ids=ENDS
)
def test_the_executor_ends_with_a_process_that_does_not_close(folder: Path, end: str) -> None:
    executor = int(run_program(START + end, folder))
    assert all_gone([executor])
    assert wait_until(lambda: leftovers(folder) == [])


def test_a_process_ends_even_when_a_thread_of_grpc_holds_its_locks(folder: Path) -> None:
    """The end of the interpreter stops gRPC's threads anywhere, even where they hold a lock."""
    source = (
        START
        + """
import gc, grpc, grpc._channel
events = iter(codemode.stream("7"))
next(events)
calls = [o for o in gc.get_objects() if isinstance(o, grpc._channel._MultiThreadedRendezvous)]
channels = [o for o in gc.get_objects() if isinstance(o, grpc.Channel)]
assert calls and channels
locks = [call._state.condition for call in calls]
locks += [channel._connectivity_state.lock for channel in channels]
for event in events:
    pass
thread = threading.Thread(target=lambda: [lock.acquire() for lock in locks])
thread.start()
thread.join()
"""
    )
    assert all_gone([int(run_program(source, folder))])
    assert wait_until(lambda: leftovers(folder) == [])


@pytest.mark.parametrize(
    "code",
    deep_except(["1", "while True: pass", "import time; time.sleep(600)"], "while True: pass"),
)
def test_it_is_gone_with_a_killed_parent(folder: Path, code: str) -> None:
    source = START + f"codemode.run({code!r}, execution_timeout=600)\ntime.sleep(600)"
    with subprocess.Popen(
        command(source), env=environment(folder), stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        executor = int(parent.stdout.readline())
        assert wait_until(lambda: len(family(executor)) > 2)
        pids = family(executor)
        parent.kill()
        assert all_gone(pids)
        assert wait_until(lambda: leftovers(folder) == [])


def test_ctrl_c_in_a_terminal_ends_the_run_and_not_the_executor(folder: Path) -> None:
    source = (
        START
        + """
from codemode.core.events import ExecutionStarted
try:
    for event in codemode.stream("while True: pass", execution_timeout=600):
        print("started", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert codemode.run("7").value == 7
print(codemode.client.embedded.pid, flush=True)
codemode.close()
print("closed", flush=True)
"""
    )
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        # setsid -c makes the pty the program's controlling terminal.
        ["setsid", "-c", "-w", *command(source)],
        env=environment(folder),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as program:
        os.close(theirs)
        shown = _read_until(terminal, b"started\r\n")
        pids = family(int(shown.split()[0]))
        os.write(terminal, b"\x03")
        shown += _read_until(terminal, None)
        os.close(terminal)
        assert program.wait(60) == 0, shown
    lines = shown.decode().split()
    assert lines[1:] == ["started", "^Cinterrupted", lines[0], "closed"]
    assert all_gone(pids)


def _read_until(terminal: int, mark: bytes | None) -> bytes:
    shown = b""
    while mark is None or mark not in shown:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break  # the other end is closed
        if not data:
            break
        shown += data
    return shown


def test_ctrl_c_during_the_start_leaves_nothing(folder: Path) -> None:
    source = """
import signal, threading, os
from codemode import Codemode
codemode = Codemode()
threading.Timer(0.05, signal.raise_signal, (signal.SIGINT,)).start()
try:
    codemode.run("1")
    while True:
        threading.Event().wait(1)
except KeyboardInterrupt:
    pass
assert codemode.run("2").value == 2
codemode.close()
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child")
"""
    assert run_program(source, folder) == "no child\n"
    assert leftovers(folder) == []


@pytest.mark.deep
def test_no_use_prints_anything_on_stderr(folder: Path) -> None:
    source = (
        START
        + """
import asyncio

async def add(a: int, b: int) -> int:
    await asyncio.sleep(0.001)
    return a + b

codemode.registry.register_tool("add", add)

async def main() -> None:
    assert (await codemode.run_async("await add(a=1, b=2)")).value == 3
    codemode.client.embedded.address()

for _ in range(20):
    asyncio.run(main())
if sys.argv[1] == "close":
    codemode.close()
elif sys.argv[1] == "close_async":
    asyncio.run(codemode.close_async())
"""
    )
    for end in ("close", "close_async", "exit"):
        executor = int(run_program(source, folder, end))
        assert all_gone([executor])
    assert wait_until(lambda: leftovers(folder) == [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_unprivileged_user_can_use_the_executor() -> None:
    nobody = 65534
    python = Path(sys.executable).resolve()
    if not os.access(ROOT, os.R_OK | os.X_OK) or not _open_to_all(ROOT, python):
        pytest.skip("the checkout is not readable for other users")
    with tempfile.TemporaryDirectory(prefix="cm-test-") as name:
        os.chown(name, nobody, nobody)
        done = subprocess.run(
            command(START + "print(os.geteuid()); codemode.close()"),
            env=environment(Path(name), HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1"),
            user=nobody,
            group=nobody,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (done.returncode, done.stderr) == (0, "")
        executor, user = done.stdout.split()
        assert user == str(nobody)
        assert not psutil.pid_exists(int(executor))
        assert leftovers(Path(name)) == []


def _open_to_all(*paths: Path) -> bool:
    return all(
        folder.stat().st_mode & 0o005 == 0o005 for path in paths for folder in (path, *path.parents)
    )


def test_sigterm_to_the_parent_ends_the_executor_too(folder: Path) -> None:
    with subprocess.Popen(
        command(START + "time.sleep(600)"), env=environment(folder), stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pids = family(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGTERM)
        assert all_gone(pids)
        assert wait_until(lambda: leftovers(folder) == [])
