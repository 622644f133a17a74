"""Both sides of a fork execute, whatever the parent is doing with the client at that moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.codemode.processes import ExecutorProcess
from tests.concurrency.forked_process import CHILDREN, STATES

ROOT = Path(__file__).parents[2]
SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

# What is said to no harm: by gRPC of a fork during a call, by us where threads serve loops, by
# asyncio's debug mode of a loop in which a child was waited for.
HARMLESS = ("fork_posix.cc", "threads, which is slower", "Executing <")

# With several threads or loops at work, or after a close, a child is not quite sure of its
# life: docs/forking.md.
UNSURE_STATES = ["used_and_closed", "threads_at_work", "loops_at_work", "all_at_work"]
SURE_STATES = [state for state in STATES if state not in UNSURE_STATES]
# How many children have to live; the documentation tells of 50.
FORKS = int(os.environ.get("CODEMODE_TEST_FORKS", "20"))
HARD_STATES = ["used_by_both", "during_a_run_of_a_loop", "a_loop_in_another_thread"]


def run(program: list[str], *, support: str = "unset", **more: str) -> tuple[str, list[str]]:
    """Run a program with every warning as an error; return what it printed, and complained of."""
    inherited = {name: value for name, value in os.environ.items() if name != SUPPORT}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *program],
        cwd=ROOT,
        env={**inherited, **({} if support == "unset" else {SUPPORT: support}), **more},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if not is_harmless(line)]
    return done.stdout, complaints


def is_harmless(line: str) -> bool:
    return any(word in line for word in HARMLESS)


def forked(
    state: str, child: str, times: int, url: str, *, support: str = "unset"
) -> tuple[list[int], list[str]]:
    """Return how the children ended, and what was complained of."""
    program = ["-m", "tests.concurrency.forked_process", state, child, str(times), url]
    said, complaints = run(program, support=support)
    return [int(status) for status in said.split()], complaints


@pytest.mark.parametrize("state", SURE_STATES)
def test_a_child_executes_by_both_halves_and_its_parent_goes_on(
    executor: ExecutorProcess, state: str
) -> None:
    assert forked(state, "use", 2, executor.url) == ([0, 0], [])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("support", ["unset", "1"])
@pytest.mark.parametrize("state", SURE_STATES)
def test_every_one_of_many_children_executes(
    executor: ExecutorProcess, state: str, support: str
) -> None:
    statuses, complaints = forked(state, "use", FORKS, executor.url, support=support)
    assert (statuses, complaints) == ([0] * FORKS, [])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("state", UNSURE_STATES)
def test_few_children_of_threads_and_loops_at_work_are_lost_and_no_parent(
    executor: ExecutorProcess, state: str
) -> None:
    statuses, _ = forked(state, "use", 25, executor.url, support="1")
    assert statuses.count(0) >= 20, statuses


@pytest.mark.parametrize("state", HARD_STATES)
def test_grpcs_own_fork_support_changes_nothing(executor: ExecutorProcess, state: str) -> None:
    assert forked(state, "use", 2, executor.url, support="1") == ([0, 0], [])


@pytest.mark.parametrize("state", HARD_STATES)
def test_a_child_has_an_embedded_executor_of_its_own(state: str) -> None:
    assert forked(state, "use", 2, "") == ([0, 0], [])


@pytest.mark.parametrize("child", [child for child in CHILDREN if child != "use"])
@pytest.mark.parametrize("state", HARD_STATES)
def test_whatever_a_child_does_its_parent_goes_on(
    executor: ExecutorProcess, state: str, child: str
) -> None:
    assert forked(state, child, 2, executor.url) == ([0, 0], [])


# Programs of their own. ``in_child`` forks, and returns what the child has said.
BEGIN = """
import asyncio, multiprocessing, os, signal, sys, threading, warnings
from codemode import ClientConfig, Codemode
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)

def in_child(work):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said

"""


def run_source(source: str, *arguments: str, support: str = "unset") -> str:
    said, complaints = run(["-c", BEGIN + source, *arguments], support=support)
    assert complaints == []
    return said


CLIENT = "codemode = Codemode.from_client_config(ClientConfig(executor_url=sys.argv[1]))\n"


@pytest.mark.parametrize("value", ["0", "false"])
@pytest.mark.parametrize("use", ["codemode.run('1')", "asyncio.run(codemode.run_async('1'))"])
def test_without_grpcs_support_the_first_use_in_a_child_says_what_to_change(
    executor: ExecutorProcess, use: str, value: str
) -> None:
    source = f"{CLIENT}codemode.run('1')\nprint(in_child(lambda: {use}))\n{use}"
    said = run_source(source, executor.url, support=value)
    assert said.startswith("ConfigurationError: this process was forked while gRPC was in use")
    assert "start the parent without GRPC_ENABLE_FORK_SUPPORT, or with" in said


def test_without_grpcs_support_a_fork_before_the_first_use_works(executor: ExecutorProcess) -> None:
    source = f"{CLIENT}print(in_child(lambda: codemode.run('1').value))"
    assert run_source(source, executor.url, support="0") == "1\n"


def test_a_session_and_a_stream_stay_with_the_parent(executor: ExecutorProcess) -> None:
    source = f"""{CLIENT}
events = iter(codemode.stream("await hold()\\n7"))
let_go = threading.Event()
async def hold():
    while not let_go.is_set():
        await asyncio.sleep(0.01)
codemode.registry.register_tool("hold", hold)
while next(events).type != "tool_call_started":
    pass

async def main():
    async with codemode.session() as other:
        await other.run_async("x = 2")
        print(in_child(lambda: asyncio.run(other.run_async("x"))))
        assert (await other.run_async("x")).value == 2

with codemode.session() as session:
    session.run("x = 1")
    print(in_child(lambda: session.run("x")))
    print(in_child(lambda: next(events)))
    asyncio.run(main())
    assert session.run("x").value == 1
let_go.set()
assert list(events)[-1].result.value == 7
"""
    *said, end = run_source(source, executor.url).split("\n")
    assert end == ""
    assert len(said) == 3
    for line in said:
        assert line.startswith("ExecutorClientError: this stream to unix:"), line
        assert line.endswith(
            "was opened before the process forked, and is its parent's; open another one here"
        )


def test_leaving_an_inherited_execution_tells_nobody_of_its_end(executor: ExecutorProcess) -> None:
    source = f"""{CLIENT}
told = []
class Observer:
    def execution_started(self, execution):
        pass
    def execution_finished(self, execution, result, error):
        told.append(result.status)
codemode.registry.add_observer(Observer())
events = codemode.client.stream("print(1)\\n7")
next(events)
def leave():
    with codemode.session() as session:
        pass
    events.close()
    return told
print(in_child(leave))
assert list(events)[-1].result.value == 7
print(told)
"""
    assert run_source(source, executor.url) == "[]\n['completed']\n"


def test_a_child_whose_loops_are_served_by_threads_says_so_once(executor: ExecutorProcess) -> None:
    source = f"""{CLIENT}
import logging
class Listener(logging.Handler):
    def emit(self, record):
        heard.append(record.getMessage())
heard = []
logging.getLogger("codemode").addHandler(Listener())
def use():
    for _ in range(2):
        assert asyncio.run(codemode.run_async("1")).value == 1
    return [line for line in heard if "threads" in line]
async def main():
    await codemode.run_async("1")
    return in_child(use)
print(asyncio.run(main()))
assert use() == []
print(in_child(use))
"""
    first, second = run_source(source, executor.url).splitlines()
    assert first.count("execute_async() uses threads, which is slower") == 1
    # The loop had ended, and its channel was dropped before the fork.
    assert second == "[]"


def test_what_ends_a_stream_reaches_a_loop_served_by_threads(executor: ExecutorProcess) -> None:
    source = f"""{CLIENT}
def use():
    async def main():
        slow = asyncio.create_task(codemode.run_async("import time; time.sleep(60)"))
        await asyncio.sleep(0.3)
        slow.cancel()
        await asyncio.wait([slow])
        assert slow.cancelled()
        failed = await codemode.run_async("1 / 0")
        assert failed.error.type == "ZeroDivisionError"
        assert (await codemode.client.info_async()).isolation
        async with codemode.session() as session:
            await session.run_async("x = 'kept' * 400_000")
            assert len((await session.run_async("x")).value) == 1_600_000
        stopped = asyncio.create_task(codemode.run_async("import time; time.sleep(60)"))
        await asyncio.sleep(0.3)
        await codemode.close_async()
        assert (await stopped).status == "cancelled"
    asyncio.run(main())
    left = [thread.name for thread in threading.enumerate() if "codemode" in thread.name]
    return left
async def main():
    await codemode.run_async("1")
    return in_child(use)
print(asyncio.run(main()))
"""
    assert run_source(source, executor.url) == "[]\n"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(executor: ExecutorProcess, tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import asyncio, multiprocessing, sys, warnings
from codemode import ClientConfig, Codemode
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
codemode = Codemode.from_client_config(ClientConfig(executor_url={executor.url!r}))

def add(a: int, b: int) -> int:
    return a + b

codemode.registry.register_tool("add", add)

def work(number):
    assert codemode.run(f"add({{number}}, 1)").value == number + 1
    return asyncio.run(codemode.run_async(f"add({{number}}, 2)")).value

async def main():
    assert (await codemode.run_async("add(1, 2)")).value == 3
    # Each worker does five tasks, as a server's or a task queue's prefork workers do.
    with multiprocessing.get_context({method!r}).Pool(3, maxtasksperchild=5) as pool:
        assert pool.map(work, range(30), chunksize=1) == list(range(2, 32))
        pool.close()
        pool.join()
    assert (await codemode.run_async("add(1, 2)")).value == 3

if __name__ == "__main__":
    assert work(1) == 3
    asyncio.run(main())
    codemode.close()
    print("done")
"""
    )
    assert run([str(program)], PYTHONPATH=str(ROOT)) == ("done\n", [])
