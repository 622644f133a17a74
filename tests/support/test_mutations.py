"""Every mutation finds the mechanism that it removes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

_TAKE_ALL_AWAY = """
import importlib, sys, django
django.setup()
importlib.import_module(sys.argv[1]).MUTATIONS.take_all_away()
"""


@pytest.mark.parametrize(
    "module", ["tests.concurrency.mutations", "tests.servers.project.mutations"]
)
def test_every_mechanism_is_where_its_mutation_takes_it_away(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TAKE_ALL_AWAY, module],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "example_project"))),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
