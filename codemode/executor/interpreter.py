"""Find the Python interpreter that runs this process."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

__all__ = ["InterpreterNotFoundError", "find_python"]


class InterpreterNotFoundError(RuntimeError):
    """Tell that no interpreter of this version stands where it should."""


def find_python() -> str:
    """Return the path of this process's interpreter.

    ``sys.executable`` is trusted only when it is named like Python: under uWSGI
    or mod_wsgi it is the server, or empty. Raises InterpreterNotFoundError.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix))
    candidates = [Path(folder, "bin", name) for folder in folders for name in (version, "python3")]
    if bindir := sysconfig.get_config_var("BINDIR"):
        candidates.append(Path(bindir, version))
    if os.path.basename(sys.executable or "").startswith(("python", "pypy")):
        candidates.insert(0, Path(sys.executable))
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise InterpreterNotFoundError(
        f"no {version} was found in the bin folders of {', '.join(map(str, folders))}, and "
        f"sys.executable is {sys.executable!r}; start the executor yourself (codemode-executor) "
        "and set executor_url"
    )
