"""The settings that reach an embedded executor, and what must not reach it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import psutil
import pytest

from codemode import ClientConfig, Codemode, ExecutorConnectionError
from codemode.config import ExecutorConfig
from codemode.interpreter import InterpreterNotFoundError, find_python
from tests.support.embedded_host import (
    embedded,
    family,
    leftovers,
    run_program,
    running,
)
from tests.support.marks import deep_except
from tests.support.processes import wait_until

SECRETS = {"DATABASE_PASSWORD": "hunter2-db", "CODEMODE_EXECUTOR_API_KEY": "hunter2-key"}


def settled_family(own: Codemode) -> list[int]:
    """Return the executor, its zygote and its warm children, once no child is being forked."""
    pids: list[int] = []

    def settled() -> bool:
        before, pids[:] = list(pids), family(running(own))
        return len(pids) >= 2 + ExecutorConfig().warm_children and before == pids

    assert wait_until(settled)
    return pids


def visible(family: list[int]) -> list[int]:
    """Leave out the processes that are locked down: only root may inspect those."""
    seen = [pid for pid in family if os.access(f"/proc/{pid}/fd", os.R_OK)]
    # The sandbox of the run before may have ended meanwhile.
    assert os.geteuid() != 0 or seen == [pid for pid in family if psutil.pid_exists(pid)]
    assert family[0] in seen, "the executor itself is its user's own"
    return seen


def test_no_process_of_the_executor_has_the_parents_secrets(
    own: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    seen = own.run("import os; result = dict(os.environ)").value
    assert "hunter2" not in str(seen)
    for pid in visible(settled_family(own)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()
            assert b"hunter2" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_no_descriptor_of_the_parent_reaches_the_executor(own: Codemode, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    fd = os.open(secret, os.O_RDONLY)
    try:
        os.set_inheritable(fd, True)
        own.run("1")
        for pid in visible(settled_family(own)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                assert secret not in {one.readlink() for one in Path(f"/proc/{pid}/fd").iterdir()}
    finally:
        os.close(fd)


def test_the_sandbox_sees_the_standard_library_only(own: Codemode) -> None:
    code = """
    import importlib.util, sys
    names = ("django", "grpc", "pydantic", "tests", "django_codemode", "pip")
    result = [name for name in names if importlib.util.find_spec(name)]
    result += [path for path in sys.path if "-packages" in path]
    """
    assert own.run("\n".join(line[4:] for line in code.splitlines())).value == []


def test_the_executors_own_settings_reach_the_executor(
    own: Codemode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEMODE_EXECUTOR_POOL_SIZE", "3")
    monkeypatch.setenv("CODEMODE_EXECUTOR_MAX_CONCURRENCY", "5")
    monkeypatch.setenv("CODEMODE_EXECUTOR_CEILINGS__MAX_THREADS", "77")
    info = own.client.info()
    assert (info.max_concurrency, info.ceilings["max_threads"]) == (5, 77)
    (zygote,) = psutil.Process(running(own)).children()

    def sandboxes() -> list[psutil.Process]:
        # In tier A a guardian is between the executor and the zygote.
        return [child for child in zygote.children(recursive=True) if not child.children()]

    assert wait_until(lambda: len(sandboxes()) == 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool_size", "many"),
        ("max_concurrency_per_key", "0"),
        ("max_queued_bytes", "1000"),  # too small for one execution's inputs
    ],
)
def test_a_wrong_setting_is_named(
    own: Codemode, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CODEMODE_EXECUTOR_{name.upper()}", value)
    with pytest.raises(ExecutorConnectionError, match=name):
        own.run("1")
    assert leftovers(folder) == []


def test_a_tier_below_the_minimum_is_refused_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEMODE_EXECUTOR_TIER", "unsafe")
    before = {child.pid for child in psutil.Process().children()}
    with (
        Codemode.from_client_config(ClientConfig(min_tier="A")) as own,
        pytest.raises(
            ExecutorConnectionError, match="offers no isolation.*min_tier.*is A.*Refusing"
        ),
    ):
        own.run("1")
    assert {child.pid for child in psutil.Process().children()} == before
    assert leftovers(folder) == []


def test_the_log_goes_to_the_configured_file(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "executor.log"
    log.write_text("of an earlier one\n")
    config = ClientConfig(executor_log_file=log)
    with Codemode.from_client_config(config) as own:
        own.run("1")
        assert embedded(own).log_path == log
    assert log.read_text().startswith("of an earlier one\n")
    assert "serving on unix:" in log.read_text()


def test_a_log_file_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    config = ClientConfig(executor_log_file=tmp_path / "absent" / "log")
    with (
        Codemode.from_client_config(config) as own,
        pytest.raises(ExecutorConnectionError, match="cannot be started.*absent/log"),
    ):
        own.run("1")


def test_the_error_of_a_broken_python_shows_its_stderr(
    own: Codemode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho this interpreter is broken >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ExecutorConnectionError, match="this interpreter is broken"):
        own.run("1")
    assert {child.pid for child in psutil.Process().children()} == before
    monkeypatch.undo()
    assert own.run("6 * 7").value == 42


def test_a_file_that_is_not_a_program_is_an_error_at_the_start(
    own: Codemode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python3"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(ExecutorConnectionError, match="cannot be started"):
        own.run("1")


@pytest.mark.parametrize(
    "executable",
    deep_except(["/usr/sbin/uwsgi", "", "python3", "/nowhere/python3"], "/usr/sbin/uwsgi"),
)
def test_the_executor_starts_where_sys_executable_is_not_python(
    own: Codemode, monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert own.run("6 * 7").value == 42


def test_a_python_of_another_version_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "python3.9"
    other.touch(0o755)
    (tmp_path / "python3").symlink_to(other)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert Path(find_python()).parent != tmp_path


def test_the_error_of_a_missing_python_shows_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    for name in ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, name, str(tmp_path))
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: None)
    with pytest.raises(InterpreterNotFoundError, match="'/usr/sbin/uwsgi'.*set executor_url"):
        find_python()


@pytest.mark.parametrize("place", deep_except(["first", "last"], "first"))
def test_modules_of_the_project_do_not_hide_those_of_the_executor(
    folder: Path, tmp_path: Path, place: str
) -> None:
    for name in ("grpc", "random", "asyncio", "pydantic", "cbor2", "json", "signal"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    # As under a server that adds the project's folder to the path once everything is loaded.
    source = """
import os, sys
from codemode import Codemode
os.chdir(sys.argv[2])
sys.path.insert(0 if sys.argv[1] == "first" else len(sys.path), os.getcwd())
with Codemode() as codemode:
    print(codemode.run("import random; 6 * 7").value)
"""
    assert run_program(source, folder, place, str(tmp_path)) == "42\n"
