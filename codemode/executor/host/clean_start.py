"""The flags, the environment and the import path with which a sandbox's processes start."""

from __future__ import annotations

from pathlib import Path

import cbor2

__all__ = ["CLEAN_ENVIRONMENT", "PYTHON_FLAGS", "import_path"]

# Python's -I without its -E, under which Python ignores PYTHONHASHSEED too. The environment has no
# other variable of Python's. -s and -P keep the user's packages, the script's folder and the
# working folder out of sys.path, and -S the installed packages.
PYTHON_FLAGS = ("-s", "-P", "-S", "-B", "-X", "utf8")

# Nothing of the executor's own environment reaches a sandbox.
CLEAN_ENVIRONMENT = {
    # The same in each sandbox of each executor: sets of text iterate by its hashes, and a recorded
    # run must iterate them in the same order when it is replayed. The number itself is arbitrary.
    "PYTHONHASHSEED": "1",
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "HOME": "/tmp",  # noqa: S108  # each child gets its own folder
    "TMPDIR": "/tmp",  # noqa: S108  # likewise
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}


def import_path() -> list[str]:
    """Return the folders from which a sandbox imports its own runtime, and nothing else."""
    return sorted({_parent(cbor2.__file__, 2), _parent(__file__, 4)})


def _parent(file: str, levels: int) -> str:
    return str(Path(file).resolve().parents[levels - 1])
