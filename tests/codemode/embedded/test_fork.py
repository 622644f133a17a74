"""Both sides of a fork work, each with an executor of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.embedded_host import all_gone, leftovers, run_program
from tests.support.marks import deep_except
from tests.support.processes import wait_until

# Warnings are errors in these programs. Python's warning of a fork with live threads is ignored,
# because such forks are what these programs test.
BEGIN = """
import asyncio, os, signal, sys, threading, time, warnings
from codemode import Codemode
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)

codemode = Codemode()

def sync_half(number):
    assert codemode.run(f"{number} + 1").value == number + 1
    return codemode.client.embedded.pid

def async_half(number):
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0.001)
        return a + b
    codemode.registry.register_tool("add", add, overwrite=True)
    result = asyncio.run(codemode.run_async(f"await add(a={number}, b=1)"))
    assert result.value == number + 1
    return codemode.client.embedded.pid

def in_child(work):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(100)
        status = 1
        try:
            os.write(writing, b"%d" % work())
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    assert status == 0, f"the child ended with {status}"
    return int(said)

pids = set()
"""

END = """
codemode.close()
assert len(pids) == expected, pids
print(*pids)
"""


def run_forking(folder: Path, body: str, expected: int) -> None:
    """Run a program that collects the process ids of its executors in ``pids``."""
    executors = run_program(
        f"{BEGIN}\nexpected = {expected}\n{body}\n{END}",
        folder,
        # gRPC prints this for a fork during a call, and nothing else is allowed.
        says="skipping fork() handlers",
    )
    assert all_gone([int(pid) for pid in executors.split()])
    assert wait_until(lambda: leftovers(folder) == [])


@pytest.mark.parametrize("half", deep_except(["sync_half", "async_half"], "sync_half"))
def test_a_fork_before_the_first_use(folder: Path, half: str) -> None:
    body = f"pids.add(in_child(lambda: {half}(1)))\npids.add({half}(2))"
    run_forking(folder, body, 2)


@pytest.mark.parametrize("half", deep_except(["sync_half", "async_half"], "async_half"))
def test_a_fork_after_use_by_threads(folder: Path, half: str) -> None:
    body = f"""
mine = sync_half(1)
pids.add(mine)
for number in range(2):
    pids.add(in_child(lambda: {half}(number)))
    # What the child did has not touched its parent's.
    assert sync_half(number) == mine
"""
    run_forking(folder, body, 3)


@pytest.mark.parametrize("half", deep_except(["sync_half", "async_half"], "sync_half"))
def test_a_fork_after_use_by_a_loop_that_has_ended(folder: Path, half: str) -> None:
    body = f"""
pids.add(async_half(1))
pids.add(in_child(lambda: {half}(2)))
pids.add(sync_half(3))
pids.add(async_half(4))
"""
    run_forking(folder, body, 2)


def test_a_fork_during_a_run_of_another_thread(folder: Path) -> None:
    body = """
results = []
begun = threading.Event()
codemode.registry.register_tool("begin", begun.set)
thread = threading.Thread(
    target=lambda: results.append(codemode.run("begin(); import time; time.sleep(1); 7").value)
)
pids.add(sync_half(1))
thread.start()
assert begun.wait(60)
pids.add(in_child(lambda: sync_half(2)))
thread.join()
assert results == [7]
"""
    run_forking(folder, body, 2)


def test_a_fork_during_the_start_by_another_thread(folder: Path) -> None:
    body = """
thread = threading.Thread(target=lambda: pids.add(sync_half(1)))
thread.start()
# The start holds the lock for longer than it takes to see it.
while not [name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("codemode-")]:
    time.sleep(0.001)
pids.add(in_child(lambda: sync_half(2)))
thread.join()
"""
    run_forking(folder, body, 2)


def test_close_in_a_child_leaves_the_parents_executor_alone(folder: Path) -> None:
    body = """
def use_and_close():
    pid = sync_half(1)
    codemode.close()
    return pid

def only_close():
    codemode.close()
    return 0

mine = sync_half(1)
pids.add(mine)
pids.add(in_child(use_and_close))
assert in_child(only_close) == 0
assert sync_half(2) == mine
"""
    run_forking(folder, body, 2)


def test_dropping_the_client_in_a_child_does_not_end_the_parents_executor(folder: Path) -> None:
    body = """
def forget():
    global codemode
    codemode = None
    import gc
    gc.collect()
    return 0

mine = sync_half(1)
pids.add(mine)
in_child(forget)
time.sleep(0.2)
assert sync_half(2) == mine
"""
    run_forking(folder, body, 1)


@pytest.mark.deep
def test_a_grandchild_has_its_own_executor(folder: Path) -> None:
    body = """
pids.add(sync_half(1))

def child():
    mine = sync_half(2)
    theirs = in_child(lambda: sync_half(3))
    assert mine != theirs
    assert sync_half(4) == mine
    return theirs

pids.add(in_child(child))
"""
    run_forking(folder, body, 2)


@pytest.mark.deep
def test_five_prefork_workers_at_once(folder: Path) -> None:
    body = """
pids.add(sync_half(1))
workers = []
for number in range(5):
    worker = os.fork()
    if worker == 0:
        signal.alarm(100)
        status = 1
        try:
            sync_half(number)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    workers.append(worker)
for worker in workers:
    assert os.waitpid(worker, 0)[1] == 0
"""
    run_forking(folder, body, 1)


@pytest.mark.deep
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(folder: Path, tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import multiprocessing, warnings
from codemode import Codemode
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
codemode = Codemode()

def work(number):
    assert codemode.run(f"{{number}} + 1").value == number + 1
    return codemode.client.embedded.pid

if __name__ == "__main__":
    mine = work(0)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        pids = set(pool.map(work, range(20)))
        pool.close()
        pool.join()
    assert work(1) == mine
    assert mine not in pids
    assert 1 <= len(pids) <= 2
    codemode.close()
    print(mine, *pids)
"""
    )
    source = "import runpy, sys; sys.argv[:] = sys.argv[1:]\n"
    source += "runpy.run_path(sys.argv[0], run_name='__main__')"
    if method == "spawn":
        source = "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-X', 'dev', "
        source += "'-W', 'error', sys.argv[1]]))"
    executors = run_program(source, folder, str(program))
    assert all_gone([int(pid) for pid in executors.split()])
    assert wait_until(lambda: leftovers(folder) == [])
