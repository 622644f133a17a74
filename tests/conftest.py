from __future__ import annotations

import compileall
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from hypothesis import settings

from django_codemode.shared import shared

ROOT = Path(__file__).resolve().parent.parent

# Failed assertions in helpers show their values, as those in tests do.
HELPERS = (f"tests.support.{path.stem}" for path in (ROOT / "tests" / "support").glob("*.py"))
pytest.register_assert_rewrite(*(name for name in HELPERS if name not in sys.modules))

# The suite runs on any host. Its last line reports the isolation, and tests of a tier that the host
# lacks are skipped by name.
os.environ.setdefault("CODEMODE_EXECUTOR_MIN_TIER", "unsafe")

# Tests start Python hundreds of times: processes reuse the bytecode that others have compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# daphne's autobahn has no wheel for newer Pythons: tests with daphne are skipped there by name.
# channels.testing imports it for its live server, which no test uses.
WITHOUT_DAPHNE = sys.version_info >= (3, 15) and find_spec("daphne") is None
if WITHOUT_DAPHNE:
    sys.modules["channels.testing.live"] = ModuleType("channels.testing.live")
    sys.modules["channels.testing.live"].ChannelsLiveServerTestCase = object  # type: ignore[attr-defined]  # stands for it

# A background process of a shell ignores Ctrl-C, and the processes started by tests would inherit
# that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The deep tests try more examples: --hypothesis-profile=deep. The time per example is not limited.
settings.register_profile("deep", max_examples=1_500, deadline=None)
settings.register_profile("everyday", max_examples=150, deadline=None)
settings.load_profile("everyday")

# Tests that start executors, servers or type checkers many times, or run for long. They take half
# of the total time.
SLOW = (
    "codemode/core/_grpc/test_channels.py",
    "codemode/core/_link/test_silence.py",
    "codemode/embedded/test_executor.py",
    "codemode/embedded/test_fork.py",
    "codemode/embedded/test_lifetime.py",
    "codemode/embedded/test_settings.py",
    "codemode/executor/host/test_control_groups.py",
    "codemode/executor/host/test_isolation.py",
    "codemode/executor/host/test_leftovers.py",
    "codemode/executor/pool/test_pool.py",
    "codemode/executor/pool/test_profiles.py",
    "codemode/executor/pool/test_sandbox_numbers.py",
    "codemode/executor/pool/test_zygotes.py",
    "codemode/executor/serving/test_access.py",
    "codemode/executor/serving/test_probe.py",
    "codemode/executor/streams/test_canaries.py",
    "codemode/executor/streams/test_flood.py",
    "codemode/executor/streams/test_queue.py",
    "codemode/executor/test_bad_input.py",
    "codemode/executor/test_growth.py",
    "codemode/executor/test_interrupts.py",
    "codemode/executor/test_killed.py",
    "codemode/executor/test_threads.py",
    "codemode/sandbox/attacks",
    "codemode/test_pytest_plugin.py",
    "codemode/tools/test_guard.py",
    "concurrency/test_back_pressure.py",
    "concurrency/test_cancellation_of_processes.py",
    "concurrency/test_channels_of_loops.py",
    "concurrency/test_close.py",
    "concurrency/test_fork.py",
    "concurrency/test_soak.py",
    "concurrency/test_state_machine.py",
    "django_codemode/management/test_codemode_exec.py",
    "django_codemode/management/test_codemode_exec_session.py",
    "django_codemode/management/test_codemode_executor.py",
    "django_codemode/test_apps.py",
    "django_codemode/test_consumers.py",
    "django_codemode/test_testing.py",
    "django_codemode/test_websockets.py",
    "django_codemode/views/test_health.py",
    "django_codemode/views/test_stream.py",
    "example_project/assistant/test_page.py",
    "playground/test_access.py",
    "playground/test_smoke.py",
    "servers",
    "support/test_hosts.py",
    "test_stages.py",
    "typing",
)

# Tests of isolation, of a tenant's context and of effects that must not be repeated: even one
# failure in a thousand breaks the promise.
NO_RETRY = (
    "codemode/core/_dispatch/test_dispatcher_context.py",
    "codemode/core/_recording",
    "codemode/core/test_context.py",
    "codemode/core/test_direct_call.py",
    "codemode/executor/host/test_isolation.py",
    "codemode/executor/test_killed.py",
    "codemode/sandbox/attacks",
    "codemode/sandbox/lockdown",
    "concurrency/test_calling_styles.py",
    "concurrency/test_guarantees.py",
    "concurrency/test_nesting.py",
    "concurrency/test_patterns.py",
    "concurrency/test_registration.py",
    "concurrency/test_soak.py",
    "concurrency/test_state_machine.py",
    "database/test_matrix.py",
    "database/test_transactions.py",
    "database/test_visibility.py",
    "django_codemode/mcp",
    "django_codemode/test_asgi.py",
    "django_codemode/test_middleware.py",
    "django_codemode/test_permissions.py",
    "django_codemode/test_secrets_in_logs.py",
    "django_codemode/test_who_may.py",
    "example_project/assistant/test_conversation.py",
    "example_project/test_report.py",
    "example_project/test_tools.py",
    "servers",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of whole files, before tests are selected by marks; put long ones first."""
    for mark, names in (("slow", SLOW), ("no_retry", NO_RETRY)):
        places = [ROOT / "tests" / name for name in names]
        assert all(place.exists() for place in places)
        for item in items:
            if any(map(item.path.is_relative_to, places)):
                item.add_marker(mark)
    if WITHOUT_DAPHNE:
        for item in items:
            if "daphne" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason="daphne cannot be had for this Python"))
    # Otherwise a single worker may have a long one left when the others have finished.
    items.sort(key=_timeout, reverse=True)


def _timeout(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None else 0.0


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave the modules and tests out of garbage collections, most of whose time they would take."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Compile what sandboxes import and preload, once: sandboxes write no bytecode themselves."""
    if hasattr(config, "workerinput"):
        return
    compileall.compile_dir(ROOT / "codemode", quiet=1)
    spec = find_spec("pandas")
    assert spec is not None
    assert spec.cached is not None
    if not Path(spec.cached).exists():
        subprocess.run([sys.executable, "-c", "import pandas"], check=True)


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_tests() -> Iterator[None]:
    """Fail the run when a process that a test started still exists at its end."""
    yield
    shared.close()
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=60)
    if left:
        raise LeftBehindError([process.as_dict(["pid", "cmdline"]) for process in left])


class LeftBehindError(AssertionError):
    """Processes that an unknown test has started and not ended."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Forbid a second try of a test that reports the processes left behind by other tests."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(LeftBehindError):
        report.keywords = {**report.keywords, "no_retry": 1}
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Make reports transferable between processes, whatever the tests have written."""
    return without_surrogates((yield))


def without_surrogates(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode(errors="replace").decode()
    if isinstance(data, dict):
        return {key: without_surrogates(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(map(without_surrogates, data))
    return data
