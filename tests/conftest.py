from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from django_codemode.shared import shared


@pytest.fixture(scope="session", autouse=True)
def no_process_outlives_the_tests() -> Iterator[None]:
    """Fail the run when something that a test started is still there at its end."""
    yield
    shared.close()
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=10)
    assert not left, f"left behind: {[process.as_dict(['pid', 'cmdline']) for process in left]}"
