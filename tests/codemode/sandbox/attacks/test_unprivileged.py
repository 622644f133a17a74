"""The attacks are held for an executor without any rights of its own, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[4]
_NOBODY = 65534


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="these tests are run by an unprivileged user already")
def test_attacks_are_held_when_nobody_runs_the_executor() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=_ROOT,
            env={
                "HOME": "/nonexistent",
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            user=_NOBODY,
            group=_NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=110,
        )

    try:
        readable = run("-c", "import codemode, pytest").returncode == 0
    except PermissionError:
        readable = False
    if not readable:
        pytest.skip("the checkout or its Python is below a folder that only its owner may enter")
    tests = Path(__file__).with_name("test_attacks.py").relative_to(_ROOT)
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), "-k", "A- or C- or tier")
    assert done.returncode == 0, done.stdout[-3000:]
