"""Where control groups are delegated, they bound each sandbox as a whole and leave no trace."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from codemode import ClientConfig, Codemode
from codemode.config import Tier
from codemode.executor.host import control_groups as cgroups
from codemode.executor.host.control_groups import Cgroups
from codemode.executor.serving import server as server_module
from codemode.executor.streams import sandbox_opening as opening
from tests.support.control_groups import folders
from tests.support.hosts import delegated, needs_tier
from tests.support.marks import deep_except
from tests.support.paths import ROOT
from tests.support.processes import ExecutorProcess, wait_until
from tests.support.serving import serving

MIB = 1024 * 1024

needs_memory = pytest.mark.skipif(
    "memory" not in delegated(), reason="no control group of memory is delegated here"
)
needs_pids = pytest.mark.skipif(
    "pids" not in delegated(), reason="no control group of processes is delegated here"
)


@pytest.fixture(params=deep_except(["A", "B", "C", "unsafe"], "A", "unsafe"))
def tier(request: pytest.FixtureRequest) -> Tier:
    tier: Tier = request.param
    needs_tier(tier)
    return tier


def groups_of(pid: int) -> dict[str, Path]:
    """Return the folders of a process's groups, by controller."""
    found = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            if name in ("memory", "pids"):
                found[name] = Path(f"/sys/fs/cgroup/{name}{path}")
    return found


def limits_in_group(pid: int) -> tuple[int, int]:
    """Return the limits of processes and bytes of a group in which a process must be alone."""
    groups = groups_of(pid)
    if "codemode-" not in str(groups["pids"]):
        raise ProcessLookupError(f"{pid} has not entered its group yet")
    for group in groups.values():
        assert (group / "cgroup.procs").read_text().split() == [str(pid)]
    most = (groups["pids"] / "pids.max").read_text().replace("max", "0")
    return int(most), int((groups["memory"] / "memory.limit_in_bytes").read_text())


@needs_memory
@needs_pids
@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/memory").exists(), reason="reads control groups of version 1"
)
async def test_sandbox_is_alone_in_a_group_with_the_limits_of_its_run(tier: Tier) -> None:
    async with serving(tier) as (codemode, server):
        limits = {"max_memory_bytes": 100 * MIB, "max_threads": 9, "max_disk_bytes": 4 * MIB}
        seen: list[tuple[int, int]] = []

        def look() -> bool:
            zygote = server.pools["default"]._zygote
            assert zygote is not None
            try:
                seen[:] = [limits_in_group(child.pid) for child in [*zygote.children.values()]]
            except (OSError, RuntimeError):
                return False  # a child has just been forked, or has ended meanwhile
            return len(seen) >= 2  # idle sandboxes have groups of their own

        def look_on() -> None:
            assert wait_until(look)

        codemode.registry.register_tool("look", look_on)
        result = await codemode.client.execute_async("look()", config=limits)
        assert result.ok, result.error
        assert (9, (100 + 4 + 256) * MIB) in seen


@needs_pids
async def test_threads_are_bounded_in_every_tier(tier: Tier) -> None:
    code = (
        "import threading, time\nstarted = 0\n"
        "try:\n    for _ in range(40):\n"
        "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "        started += 1\n"
        "except RuntimeError:\n    pass\nstarted"
    )
    async with serving(tier) as (codemode, _):
        for most in (8, 20):
            result = await codemode.client.execute_async(code, config={"max_threads": most})
            # In tier B another executor's sandbox may have the same user.
            assert most - 4 <= result.value < most, result.error


@needs_memory
async def test_processes_of_a_sandbox_are_bounded_together() -> None:
    """Without isolation the code can fork, and the limit applies to each process by itself."""
    code = """
import os, time
def child():
    block = bytearray(200 << 20)
    block[::4096] = b'x' * len(block[::4096])
    while os.getppid() == parent:
        time.sleep(0.05)
    os._exit(0)
parent = os.getpid()
for _ in range(5):
    if os.fork() == 0:
        child()
killed = 0
while killed < 2:
    _, status = os.wait()
    killed += os.waitstatus_to_exitcode(status) == -9
killed
"""
    async with serving("unsafe") as (codemode, _):
        limits = {"max_memory_bytes": 256 * MIB, "max_threads": 16}
        result = await codemode.client.execute_async(code, config=limits)
        # The system may kill the first process too.
        end = result.value if result.error is None else result.error.type
        assert end in (2, "MemoryLimit"), result.error


@needs_memory
async def test_full_group_is_reported_as_a_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulates memory that the address space does not count: files in /tmp, pipes, page tables.
    monkeypatch.setattr(opening, "_GROUP_SLACK_BYTES", -400 * MIB)
    code = "block = bytearray(300 << 20)\nblock[::4096] = b'x' * len(block[::4096])\n1"
    async with serving("unsafe") as (codemode, _):
        result = await codemode.run_async(code)
        assert result.error is not None
        assert (result.status, result.error.type) == ("limit", "MemoryLimit")
        assert "the system killed the code" in result.error.message
        # The next sandbox of the same group does not inherit the end of the one before.
        for _ in range(8):
            killed = await codemode.run_async("import os\nos.kill(os.getpid(), 9)")
            assert killed.error is not None
            assert killed.error.type == "Killed"


@needs_memory
async def test_groups_are_reused_and_removed_with_the_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine may take longer than usual to end the last processes.
    monkeypatch.setattr(cgroups, "_REMOVE_SECONDS", 60.0)
    async with serving("unsafe", max_concurrency=4) as (codemode, _):
        await asyncio.gather(*(codemode.run_async("1") for _ in range(60)))
        own = folders(os.getpid())
        assert own
        for folder in own:
            assert len([path for path in folder.iterdir() if path.is_dir()]) < 20
    assert not any(folder.exists() for folder in own)


@needs_memory
def test_groups_of_a_killed_executor_go_with_the_next_start() -> None:
    with ExecutorProcess("--tier", "unsafe") as killed:
        left = folders(killed.pid)
        assert left
        killed.kill()
        assert wait_until(lambda: not any(map(populated, left)))
        # From here on, any executor that starts may remove them.
        with ExecutorProcess("--tier", "unsafe") as next_one:
            assert not any(folder.exists() for folder in left)
            assert folders(next_one.pid)


def populated(folder: Path) -> bool:
    """Return whether a process is in a group or below it; a removed group has no processes."""
    try:
        return any(path.read_text() for path in folder.glob("**/cgroup.procs"))
    except FileNotFoundError:
        return False


_BURN = """
import hashlib, threading, time
def burn():
    while True:
        hashlib.pbkdf2_hmac('sha256', b'x', b'y', 100_000)  # without the GIL
for _ in range({threads}):
    threading.Thread(target=burn, daemon=True).start()
begin()
began = time.process_time()
end()
time.process_time() - began
"""


@pytest.fixture
def cpu_group() -> Iterator[Path]:
    """Yield a group of version 1 to start an executor in, as in a container, without autogroups."""
    root = Path("/sys/fs/cgroup/cpu")
    if "cpu" not in delegated() or not root.exists():
        pytest.skip("no control group of version 1 for the CPU is delegated here")
    group = root / f"cm-test-{os.getpid()}"
    group.mkdir()
    yield group
    assert wait_until(lambda: not populated(group))
    group.rmdir()


def test_cpu_is_shared_by_sandbox_however_many_threads_each_has(cpu_group: Path) -> None:
    few = os.cpu_count() or 1
    many = 8 * few
    wide = {"max_threads": many + 8}
    meeting = threading.Barrier(2, timeout=100)

    def begin() -> None:
        meeting.wait()

    def end() -> None:
        meeting.wait()
        time.sleep(3)  # the time in which both are counted
        meeting.wait()

    with (
        ExecutorProcess("--tier", "unsafe", group=cpu_group) as executor,
        Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode,
        ThreadPoolExecutor(2) as threads,
    ):
        for tool in (begin, end):
            codemode.registry.register_tool(tool.__name__, tool)

        def burn(count: int) -> float:
            code = _BURN.format(threads=count)
            result = codemode.client.execute(code, config=wide, execution_timeout=300)
            assert result.ok, result.error
            seconds: float = result.value
            return seconds

        ours, theirs = threads.map(burn, (few, many))
    assert theirs / ours < 3, "it has eight times as many threads"


def test_executor_logs_what_is_bounded(executor: ExecutorProcess) -> None:
    said = ", ".join(delegated()) or "none ("
    assert f"control groups: {said}" in executor.log


_ALONE_OR_NOT = """
import os, subprocess, sys
base, controller, alone = sys.argv[1], sys.argv[2], sys.argv[3] == "alone"
def enter(): open(f"{base}/cgroup.procs", "w").write(str(os.getpid()))
enter()
if not alone:
    other = subprocess.Popen(["sleep", "100"])
from codemode.executor.host.control_groups import Cgroups
cgroups = Cgroups([controller])
print(cgroups.detail)
if alone:
    group = cgroups.take()
    pid = os.fork()
    with group.entrance() as entrances:
        if pid == 0:
            for entrance in entrances:
                os.write(entrance, b"0")
            print(open("/proc/self/cgroup").read().strip().splitlines()[-1], flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
    cgroups.give_back(group)
else:
    other.kill()
    other.wait()
cgroups.close()
print(open("/proc/self/cgroup").read().strip().splitlines()[-1])
"""


@pytest.fixture
def delegated_group() -> Iterator[tuple[Path, str]]:
    """Yield a group of version 2 to live in, and the name of a controller."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2" and os.access(fields[4], os.W_OK):
            break
    else:
        pytest.skip("no writable cgroup file system of version 2")
    root = Path(fields[4])
    controllers = (root / "cgroup.controllers").read_text().split()
    if not controllers:
        pytest.skip("version 2 has no controller here")
    enabled = (root / "cgroup.subtree_control").read_text().split()
    group = root / f"cm-test-{os.getpid()}"
    try:
        (root / "cgroup.subtree_control").write_text(f"+{controllers[0]}")
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no group of version 2 can be made: {error}")
    yield group, controllers[0]
    assert [path for path in group.iterdir() if path.is_dir()] == []
    group.rmdir()
    if controllers[0] not in enabled:
        (root / "cgroup.subtree_control").write_text(f"-{controllers[0]}")


@pytest.mark.parametrize("company", ["alone", "with others"])
def test_group_of_version_2_is_divided_only_by_a_process_that_is_alone_in_it(
    delegated_group: tuple[Path, str], company: str
) -> None:
    group, controller = delegated_group
    said = subprocess.check_output(
        [sys.executable, "-c", _ALONE_OR_NOT, str(group), controller, company],
        text=True,
        timeout=100,
        cwd=ROOT,
    ).splitlines()
    if company == "alone":
        assert said[0] == f"{controller} (version 2)"
        assert said[1].startswith(f"0::/{group.name}/codemode-")
        assert said[1].endswith("/1")
    else:
        assert f"other processes share the group {group}" in said[0]
    assert said[-1] == f"0::/{group.name}"


def test_group_that_one_hierarchy_refuses_is_removed_from_all(tmp_path: Path) -> None:
    groups = Cgroups(["no such controller"])
    places = [tmp_path / name for name in ("memory", "pids", "cpu")]
    for place in places[:2]:
        place.mkdir()
    groups._folders = [
        (cgroups._Hierarchy(version=1, controllers=(place.name,), base=""), str(place))
        for place in places
    ]
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            groups.take()
        assert [list(place.iterdir()) for place in places[:2]] == [[], []]
    places[2].mkdir()
    assert groups.take() is not None
    assert all(len(list(place.iterdir())) == 1 for place in places)


def test_missing_controllers_are_named() -> None:
    cgroups = Cgroups(["no such controller"])
    assert cgroups.take() is None
    assert "no cgroup file system with these controllers is mounted" in cgroups.detail


@needs_memory
@needs_pids
def test_bounds_do_not_need_the_controller_of_the_cpu() -> None:
    root = Path("/sys/fs/cgroup/cpu")
    if "cpu" not in delegated() or not root.exists() or os.geteuid():
        pytest.skip("needs root and control groups of version 1")
    command = f"mount -o remount,bind,ro {root} && exec {sys.executable} -c"
    code = "from codemode.executor.host.control_groups import Cgroups as C\nc = C()\nprint(c.detail)\nc.close()"
    said = subprocess.check_output(
        ["unshare", "--mount", "sh", "-c", f'{command} "$0"', code],
        text=True,
        timeout=100,
        cwd=ROOT,
    )
    assert said == "memory, pids (version 1)\n"


_ASK = "from codemode.executor.host.control_groups import cpu_is_shared_by_session as c\nprint(c())"


def test_only_processes_in_no_group_share_the_cpu_by_session(cpu_group: Path) -> None:
    enabled = Path("/proc/sys/kernel/sched_autogroup_enabled")
    by_session = enabled.exists() and enabled.read_text() == "1\n"
    enter = f"echo $$ > {cpu_group}/cgroup.procs; "
    # In a cgroup namespace, the group looks like the root.
    for before, around, expected in (
        ("", (), by_session),
        (enter, (), False),
        (enter, ("unshare", "--cgroup"), False),
    ):
        command = ("sh", "-c", f'{before}exec "$0" "$@"', *around, sys.executable, "-c", _ASK)
        said = subprocess.check_output(command, text=True, timeout=100, cwd=ROOT)
        assert said == f"{expected}\n"


@pytest.mark.parametrize("by_session", [False, True])
async def test_the_default_is_fewer_threads_where_each_gets_its_share_of_the_cpu(
    by_session: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "cpu_is_shared_by_session", lambda: by_session)
    monkeypatch.setattr(server_module, "Cgroups", lambda: Cgroups(["none"]))
    async with serving("unsafe") as (codemode, _):
        info = await codemode.client.info_async()
        few = min(32, (os.cpu_count() or 1) + 8)
        assert info.default_limits["max_threads"] == (32 if by_session else few)
        assert info.ceilings["max_threads"] == 128
