"""The processes of a sandbox start with nothing of their surroundings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT, PYTHON_FLAGS
from codemode.interpreter import find_python

REPORT = """
import json, sys
try:
    import decoy
except ImportError:
    decoy = None
user = sys.flags.no_user_site, "site" in sys.modules
print(json.dumps([sys.path, decoy is None, user, sys.flags.utf8_mode, sys.dont_write_bytecode]))
"""


def report(folder: Path, *flags: str) -> Any:
    """Return how an interpreter with these flags starts, in a folder with a module."""
    script = folder / "script.py"
    script.write_text(REPORT)
    (folder / "decoy.py").write_text("")
    done = subprocess.run(
        [find_python(), *flags, str(script)],
        env=CLEAN_ENVIRONMENT,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return json.loads(done.stdout)


def test_a_process_imports_from_where_an_isolated_one_does(tmp_path: Path) -> None:
    found = report(tmp_path, *PYTHON_FLAGS)
    assert found == report(tmp_path, "-I", "-S", "-B", "-X", "utf8")
    assert str(tmp_path) not in found[0]
    assert found[1:] == [True, [1, False], 1, True]


def test_python_reads_one_variable_of_the_environment() -> None:
    assert [name for name in CLEAN_ENVIRONMENT if name.startswith("PYTHON")] == ["PYTHONHASHSEED"]
