"""Both sides of a fork execute, whatever the parent is doing with the client at that moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from tests.concurrency.forked_process import CHILDREN, STATES
from tests.support.marks import deep_except
from tests.support.paths import ROOT
from tests.support.processes import ExecutorProcess

SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"

# Harmless lines on stderr: gRPC's about a fork during a call, and those of asyncio's debug mode
# about a loop in which a child was waited for.
HARMLESS = ("fork_posix.cc", "Executing <")
# gRPC before 1.82 logs more, and with GRPC_ENABLE_FORK_SUPPORT=1 it ends a child itself.
OLD_GRPC = tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 82)

# Where threads and loops never pause, gRPC's own fork handlers may harm either side. Without them
# (GRPC_ENABLE_FORK_SUPPORT=0) both sides are safe: docs/operations/forking.md.
BUSY_STATES = ["threads_at_work", "loops_at_work", "all_at_work"]
CALM_STATES = [state for state in STATES if state not in BUSY_STATES]
SURE = [
    *((state, support) for state in CALM_STATES for support in ("unset", "1", "0")),
    *((state, "0") for state in BUSY_STATES),
]
# How many children must survive.
FORKS = 50
HARD_STATES = ["used_by_both", "during_a_run_of_a_loop", "a_loop_in_another_thread"]


def run(program: list[str], *, support: str = "unset", **more: str) -> tuple[str, list[str]]:
    """Run a program with every warning as an error; return its output and its complaints."""
    if OLD_GRPC and support == "1":
        pytest.skip("gRPC before 1.82 ends a child of a parent that has executed")
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
    if OLD_GRPC:
        complaints.clear()
    return done.stdout, complaints


def is_harmless(line: str) -> bool:
    return any(word in line for word in HARMLESS)


def forked(
    state: str, child: str, times: int, url: str, *, support: str = "unset"
) -> tuple[list[int], list[str]]:
    """Return how the children ended, and the complaints on stderr."""
    program = ["-m", "tests.concurrency.forked_process", state, child, str(times), url]
    said, complaints = run(program, support=support)
    return [int(status) for status in said.split()], complaints


@pytest.mark.parametrize("state", deep_except(CALM_STATES, *HARD_STATES))
def test_a_child_executes_by_both_halves_and_its_parent_goes_on(
    executor: ExecutorProcess, state: str
) -> None:
    assert forked(state, "use", 2, executor.url) == ([0, 0], [])


@pytest.mark.parametrize("state", deep_except(BUSY_STATES, "all_at_work"))
def test_without_grpcs_fork_handlers_a_process_forks_while_it_executes_without_a_pause(
    executor: ExecutorProcess, state: str
) -> None:
    assert forked(state, "use", 2, executor.url, support="0") == ([0, 0], [])


@pytest.mark.deep
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("state, support", SURE)
def test_every_one_of_many_children_executes(
    executor: ExecutorProcess, state: str, support: str
) -> None:
    statuses, complaints = forked(state, "use", FORKS, executor.url, support=support)
    assert (statuses, complaints) == ([0] * FORKS, [])


@pytest.mark.parametrize("support", ["1", "0"])
@pytest.mark.parametrize("state", deep_except(HARD_STATES, "used_by_both"))
def test_grpcs_own_fork_support_changes_nothing_for_children(
    executor: ExecutorProcess, state: str, support: str
) -> None:
    assert forked(state, "use", 6, executor.url, support=support) == ([0] * 6, [])


@pytest.mark.parametrize("state", HARD_STATES)
@pytest.mark.deep
def test_a_child_has_an_embedded_executor_of_its_own(state: str) -> None:
    assert forked(state, "use", 2, "") == ([0, 0], [])


@pytest.mark.parametrize("child", [child for child in CHILDREN if child != "use"])
@pytest.mark.parametrize("state", deep_except(HARD_STATES, "during_a_run_of_a_loop"))
def test_whatever_a_child_does_its_parent_goes_on(
    executor: ExecutorProcess, state: str, child: str
) -> None:
    # Before 1.82, gRPC's fork handlers crash a child that forks again if its parent had a call in
    # flight.
    crashes = OLD_GRPC and child == "fork_again" and state.startswith("during_a_run")
    support = "0" if crashes else "unset"
    assert forked(state, child, 2, executor.url, support=support) == ([0, 0], [])


# Standalone programs. ``in_child`` forks, and returns what the child reported.
BEGIN = """
import asyncio, os, signal, sys, threading, time, warnings
from codemode import ClientConfig, Codemode
warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)

def in_child(work):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(100)
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"wait status {status}, after {said!r}"
    return said

"""


def run_source(source: str, *arguments: str, support: str = "unset", first: str = "") -> str:
    said, complaints = run(["-c", first + BEGIN + source, *arguments], support=support)
    assert complaints == []
    return said


CLIENT = "codemode = Codemode.from_client_config(ClientConfig(executor_url=sys.argv[1]))\n"


# Counts the gRPC cores that a process has loaded.
CORES = """
def cores():
    with open("/proc/self/maps") as maps:
        return len({line.split()[4] for line in maps if "cygrpc" in line})
"""


@pytest.mark.parametrize("support", ["unset", "1", "0"])
def test_each_child_of_a_process_that_used_grpc_has_a_grpc_of_its_own(
    executor: ExecutorProcess, support: str
) -> None:
    source = f"""{CLIENT}{CORES}
def work():
    value = codemode.run("1").value
    return value, cores(), asyncio.run(codemode.run_async("2")).value, cores()
print(codemode.run("1").value, cores())
print(in_child(work))
print(in_child(lambda: (work(), in_child(work))))
print(in_child(lambda: in_child(work)))
print(codemode.run("3").value, cores())
"""
    said = run_source(source, executor.url, support=support).splitlines()
    once, twice = "(1, 2, 2, 2)", "(1, 3, 2, 3)"
    assert said == ["1 1", once, str((eval(once), twice)), once, "3 1"]


def test_a_child_of_a_process_that_has_closed_its_client_has_a_grpc_of_its_own(
    executor: ExecutorProcess,
) -> None:
    source = f"""{CLIENT}{CORES}
codemode.run("1")
codemode.close()
while len(os.listdir("/proc/self/task")) > 1:
    time.sleep(0.01)  # until gRPC's threads have ended: nothing shows that it was used
{CLIENT}print(in_child(lambda: (codemode.run("2").value, cores())))
"""
    assert run_source(source, executor.url) == "(2, 2)\n"


def test_a_child_of_a_process_that_used_no_grpc_loads_no_second_one(
    executor: ExecutorProcess,
) -> None:
    source = f"""{CLIENT}{CORES}
print(in_child(lambda: (codemode.run("1").value, cores(), in_child(lambda: cores()))))
print(codemode.run("1").value, cores())
"""
    assert run_source(source, executor.url) == "(1, 1, '1')\n1 1\n"


def test_a_run_imports_nothing_that_a_fork_in_another_thread_could_leave_half_loaded(
    executor: ExecutorProcess,
) -> None:
    source = f"""{CLIENT}
import sys
before = set(sys.modules)
zone = "import datetime, zoneinfo; datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('UTC'))"
print(codemode.run(zone).value.tzinfo, codemode.run("1 / 0").status, codemode.execute("{{1}}"))
print(sorted(set(sys.modules) - before))
"""
    assert run_source(source, executor.url) == "UTC failed [1]\n[]\n"


def test_a_child_of_a_process_that_used_grpc_only_just_before_the_fork_has_a_grpc_of_its_own(
    executor: ExecutorProcess,
) -> None:
    # Functions registered to run before a fork are called in reverse order: the first registered is
    # called last.
    first = """
import os
at_the_last_moment = []
os.register_at_fork(before=lambda: [call() for call in at_the_last_moment])
"""
    source = f"""{CLIENT}{CORES}
at_the_last_moment.append(lambda: codemode.run("1"))
print(in_child(lambda: (codemode.run("2").value, cores())))
"""
    assert run_source(source, executor.url, first=first) == "(2, 2)\n"


def test_a_fork_while_grpc_starts_threads_leaves_the_childs_threads_their_stacks() -> None:
    source = """
from codemode.core._grpc.forking import stacks
threading.stack_size(4 << 20)
starts, goes_on = threading.Event(), threading.Event()
def start():
    with stacks():
        starts.set()
        goes_on.wait()
thread = threading.Thread(target=start)
thread.start()
starts.wait()
print(in_child(threading.stack_size) == str(4 << 20))
goes_on.set()
thread.join()
print(threading.stack_size() == 4 << 20)
"""
    assert run_source(source) == "True\nTrue\n"


@pytest.mark.parametrize("support", ["unset", "0"])
def test_a_child_of_a_process_where_another_library_used_grpc(
    executor: ExecutorProcess, support: str
) -> None:
    source = f"""{CLIENT}{CORES}
import grpc
from codemode.protos import codemode_pb2 as pb
from codemode.wire.protobuf import make_stub
channel = grpc.insecure_channel(sys.argv[1])
ask = lambda: make_stub(channel).GetInfo(pb.GetInfoRequest(protocol_version=1)).isolation
before = ask()
print(in_child(lambda: (codemode.run("1").value, cores())))
assert ask() == before
"""
    assert run_source(source, executor.url, support=support) == "(1, 2)\n"


def test_the_objects_that_callers_compare_and_catch_are_the_same_in_every_grpc(
    executor: ExecutorProcess,
) -> None:
    source = f"""{CLIENT}
import grpc, grpc.aio
from codemode.core._grpc.forking import grpc_of_this_process
async def read_after_the_end():
    channel = grpc_of_this_process().aio.insecure_channel(sys.argv[1])
    call = channel.unary_stream("/none/None")(b"")
    try:
        await call.read()
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    await channel.close()
    try:
        channel.unary_unary("/none/None")(b"")
    except grpc.aio.UsageError:
        return "as expected"
def child():
    own = grpc_of_this_process()
    assert own.aio is not grpc.aio
    assert own.aio.EOF is grpc.aio.EOF
    return asyncio.run(read_after_the_end())
codemode.run("1")
print(in_child(child))
"""
    assert run_source(source, executor.url) == "as expected\n"


def test_a_child_without_a_grpc_of_its_own_names_what_to_change(executor: ExecutorProcess) -> None:
    source = f"""{CLIENT}
codemode.run("1")
def refuse(name):
    raise OSError("no memory files here")
os.memfd_create, kept = refuse, os.memfd_create
print(in_child(lambda: codemode.run("1")))
print(in_child(lambda: asyncio.run(codemode.run_async("1"))))
os.memfd_create = kept
print(in_child(lambda: codemode.run("1").value))
"""
    *refused, value = run_source(source, executor.url).splitlines()
    for line in refused:
        assert line.startswith("ConfigurationError: this process was forked from one that had")
        assert "no memory files here; fork before the first execution, or use the spawn" in line
    assert value == "1"


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


def test_leaving_an_inherited_execution_reports_no_end(executor: ExecutorProcess) -> None:
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


def test_the_end_of_a_stream_reaches_the_loop_of_a_child(executor: ExecutorProcess) -> None:
    source = f"""{CLIENT}
begun = []
async def begin():
    begun.append(1)
codemode.registry.register_tool("begin", begin)
SLOW = "await begin()\\nimport time; time.sleep(600)"
async def until_begun(count):
    while len(begun) < count:
        await asyncio.sleep(0.01)
def use():
    async def main():
        slow = asyncio.create_task(codemode.run_async(SLOW))
        await until_begun(1)
        slow.cancel()
        await asyncio.wait([slow])
        assert slow.cancelled()
        failed = await codemode.run_async("1 / 0")
        assert failed.error.type == "ZeroDivisionError"
        assert (await codemode.client.info_async()).isolation
        async with codemode.session() as session:
            await session.run_async("x = 'kept' * 400_000")
            assert len((await session.run_async("x")).value) == 1_600_000
        stopped = asyncio.create_task(codemode.run_async(SLOW))
        await until_begun(2)
        await codemode.close_async()
        assert (await stopped).status == "cancelled"
    asyncio.run(main())
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if "codemode" in name and "codemode-values" not in name]
async def main():
    await codemode.run_async("1")
    return in_child(use)
print(asyncio.run(main()))
"""
    assert run_source(source, executor.url) == "[]\n"


def test_a_lock_of_asgiref_that_another_thread_holds_at_the_fork_does_not_block_the_child(
    executor: ExecutorProcess,
) -> None:
    source = f"""{CLIENT}
from asgiref.sync import AsyncToSync
codemode.registry.register_tool("add", lambda a, b: a + b)
def use():
    return codemode.run("add(1, 2)").value, asyncio.run(codemode.run_async("add(3, 4)")).value
held, let_go = threading.Event(), threading.Event()
def hold():
    with next(each for each in vars(AsyncToSync.executors).values() if hasattr(each, "acquire")):
        held.set()
        let_go.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
signal.alarm(100)
print(in_child(use))
let_go.set()
thread.join()
print(use())
"""
    assert run_source(source, executor.url) == "(3, 7)\n(3, 7)\n"


@pytest.mark.parametrize("method", deep_except(["fork", "forkserver", "spawn"], "fork"))
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
