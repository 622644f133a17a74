"""The Python interpreter that runs this process."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from pathlib import Path

__all__ = ["InterpreterNotFoundError", "find_python"]

_PYTHON = re.compile(r"(python|pypy)[0-9.]*[dt]{0,2}")
_VERSION = re.compile(r"\d+\.\d+")


class InterpreterNotFoundError(RuntimeError):
    """The absence of an interpreter of this version in the expected folders."""


def find_python() -> str:
    """Return the path of this process's interpreter.

    ``sys.executable`` is trusted only when it is named like Python: under uWSGI
    or mod_wsgi it is the server, or empty, or the first Python on PATH, of any
    version. Raises InterpreterNotFoundError.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = (f"python{version}", "python3")
    folders = dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix))
    candidates = [Path(folder, "bin", name) for folder in folders for name in names]
    if bindir := sysconfig.get_config_var("BINDIR"):
        candidates.append(Path(bindir, names[0]))
    executable = sys.executable or ""
    if os.path.isabs(executable) and _PYTHON.fullmatch(os.path.basename(executable)):
        candidates.insert(0, Path(executable))
    for candidate in candidates:
        if (
            candidate.is_file()
            and os.access(candidate, os.X_OK)
            and _version_in_name(candidate) in (version, None)
        ):
            return str(candidate)
    raise InterpreterNotFoundError(
        f"no python{version} was found in the bin folders of {', '.join(map(str, folders))}, and "
        f"sys.executable is {sys.executable!r}; start the executor yourself (codemode-executor) "
        "and set executor_url"
    )


def _version_in_name(path: Path) -> str | None:
    """Return the version in the name of the file behind all links, such as 3.13, or None."""
    found = _VERSION.search(path.resolve().name)
    return found[0] if found else None
