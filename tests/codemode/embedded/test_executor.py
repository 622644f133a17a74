"""Promises of the executor that a client starts for itself."""

from __future__ import annotations

import gc
import os
import signal
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from codemode import ClientClosedError, Codemode
from tests.support.embedded_host import all_gone, embedded, family, leftovers, running
from tests.support.processes import open_descriptors, wait_until


def test_nothing_starts_before_the_first_use(own: Codemode, folder: Path) -> None:
    assert (embedded(own).pid, embedded(own).log_path, leftovers(folder)) == (None, None, [])
    assert own.run("6 * 7").value == 42
    assert running(own)


def test_the_folder_and_the_socket_are_the_users_alone(own: Codemode, folder: Path) -> None:
    own.run("1")
    (private,) = folder.glob("codemode-*")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / "socket").stat().st_mode) == 0o600
    assert stat.S_IMODE((private / "executor.log").stat().st_mode) == 0o600


def test_the_executor_outlives_the_thread_of_the_first_use(own: Codemode) -> None:
    thread = threading.Thread(target=own.run, args=("1",))
    thread.start()
    thread.join()
    pid = running(own)
    assert not all_gone([pid], seconds=0.5)
    assert own.run("2").value == 2
    assert running(own) == pid


def test_a_first_use_by_eight_threads_at_once_starts_one_executor(
    own: Codemode, folder: Path
) -> None:
    barrier = threading.Barrier(8)

    def use(number: int) -> object:
        barrier.wait()
        return own.run(f"{number}").value

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(8))) == list(range(8))
    assert len(leftovers(folder)) == 1
    children = psutil.Process().children()
    assert [child.pid for child in children if child.pid == running(own)] == [running(own)]


def test_two_clients_have_an_executor_each(own: Codemode) -> None:
    own.run("1")
    with Codemode() as other:
        assert other.run("2").value == 2
        assert running(other) != running(own)
    assert own.run("3").value == 3


def test_close_leaves_no_process_zombie_or_folder(folder: Path) -> None:
    descriptors = open_descriptors(os.getpid())
    own = Codemode()
    own.run("1")
    pids = family(running(own))
    own.close()
    assert not psutil.pid_exists(pids[0])
    assert all_gone(pids)
    assert leftovers(folder) == []
    # gRPC keeps a few descriptors for the whole process.
    with Codemode() as again:
        again.run("1")
    before = open_descriptors(os.getpid())
    with Codemode() as again:
        again.run("1")
    assert wait_until(lambda: open_descriptors(os.getpid()) <= before)
    assert before <= descriptors + 12


def test_close_is_idempotent_from_many_threads(folder: Path) -> None:
    own = Codemode()
    own.run("1")
    pids = family(running(own))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: own.close(), range(4)))
    own.close()
    assert all_gone(pids)
    assert leftovers(folder) == []


@pytest.mark.parametrize("used", [True, False])
def test_use_after_close_raises_and_starts_nothing(folder: Path, used: bool) -> None:
    own = Codemode()
    if used:
        own.run("1")
    own.close()
    with pytest.raises(ClientClosedError, match="Client has been closed"):
        own.run("1")
    with pytest.raises(ClientClosedError, match="Client has been closed"):
        embedded(own).address()
    assert leftovers(folder) == []


def test_close_during_the_start_leaves_nothing(folder: Path) -> None:
    own = Codemode()
    failures: list[BaseException] = []

    def use() -> None:
        try:
            own.run("import time; time.sleep(600)", execution_timeout=600)
        except ClientClosedError as error:
            failures.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    assert wait_until(lambda: leftovers(folder) != [])
    own.close()
    thread.join(60)
    assert not thread.is_alive()
    assert embedded(own).pid is None
    assert leftovers(folder) == []


def test_a_killed_executor_is_replaced_at_the_next_use(
    own: Codemode, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own.run("1")
    first = running(own)
    pids = family(first)
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: embedded(own).pid is None)
    assert own.run("2").value == 2
    assert running(own) != first
    assert all_gone(pids)
    assert not psutil.pid_exists(first)
    assert len(leftovers(folder)) == 1
    assert f"the embedded executor {first} has died" in caplog.text


def test_the_executor_of_a_dropped_client_ends(folder: Path) -> None:
    own = Codemode()
    own.run("1")
    pids = family(running(own))
    del own
    gc.collect()
    assert all_gone(pids[1:])
    assert wait_until(lambda: leftovers(folder) == [])
    # The next client that starts or stops an executor reaps this one.
    with Codemode() as other:
        other.run("1")
    assert not psutil.pid_exists(pids[0])


def test_signals_blocked_in_the_starting_thread_are_not_blocked_in_the_executor(
    own: Codemode,
) -> None:
    blocked = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}

    def use() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        own.run("1")

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    pid = running(own)
    os.kill(pid, signal.SIGTERM)
    assert wait_until(lambda: embedded(own).pid is None)


def test_a_temporary_folder_with_a_long_path_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("long" * 25) / ("longer" * 20)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with Codemode() as codemode:
        assert codemode.run("6 * 7").value == 42
        address = embedded(codemode).address()
    assert len(address.removeprefix("unix:")) < 108
    assert not Path(address.removeprefix("unix:")).parent.exists()
