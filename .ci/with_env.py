"""Run Python in the project's own environment, made on first use.

    python3 .ci/with_env.py example_project/manage.py shop_report
    python3 .ci/with_env.py -m pytest

The arguments are those of ``python``; paths are relative to the clone. Any
Python from 3.9 with pip starts this script. It puts uv into ``.bootstrap``,
finds a Python that the project runs on, installs the locked dependencies into
``.venv`` and becomes the command. All of it lives in the clone, is done once,
and may be started several times at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / ".bootstrap"
UV = BOOTSTRAP / "uv" / "bin" / "uv"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "with_env.stamp"

UV_REQUIREMENT = "uv>=0.13,<1"
# The versions for which all dependencies have wheels, those of tests aside; newest first.
MINORS = (15, 14, 13, 12)

# Variables that would lead pip, uv or the command to another environment than ours.
FOREIGN = (
    "CONDA_PREFIX",
    "DJANGO_SETTINGS_MODULE",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_ROOT",
    "PIP_TARGET",
    "PIP_USER",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSAFEPATH",
    "UV_FROZEN",
    "UV_LOCKED",
    "UV_NO_DEV",
    "UV_NO_EDITABLE",
    "UV_NO_SYNC",
    "UV_PROJECT",
    "UV_PYTHON",
    "UV_WORKING_DIRECTORY",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
)

# A Python without these modules was built without their libraries.
PROBE = """
import ctypes, sqlite3, ssl, sys, sysconfig, zlib
if sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print(*sys.version_info[:2])
"""


def main() -> None:
    if os.name != "posix":
        fail("this script needs Linux or macOS.")
    if len(sys.argv) < 2:
        fail(__doc__ or "")
    os.chdir(ROOT)
    environment = clean_environment()
    if not is_ready():
        with Lock():
            # Another process may have prepared the environment while we waited.
            if not is_ready():
                prepare(environment)
    environment["VIRTUAL_ENV"] = str(VENV)
    environment["PATH"] = os.pathsep.join((str(VENV / "bin"), environment.get("PATH", os.defpath)))
    sys.stdout.flush()
    os.execve(PYTHON, [str(PYTHON), *sys.argv[1:]], environment)


def clean_environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environment.update(
        UV_PROJECT_ENVIRONMENT=str(VENV), UV_PYTHON_DOWNLOADS="never", UV_NO_PROGRESS="1"
    )
    # Not in the home folder, which may not be writable.
    environment.setdefault("UV_CACHE_DIR", str(BOOTSTRAP / "cache"))
    return environment


class Lock:
    """The lock by which one process at a time prepares the environment; it ends with its holder."""

    def __enter__(self) -> None:
        import fcntl

        # This file serves as the lock, so that no lock file is left behind.
        self.file = Path(__file__).open(encoding="utf-8")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        self.file.close()


def is_ready() -> bool:
    try:
        return STAMP.read_text("ascii") == fingerprint() and PYTHON.exists()
    except OSError:
        return False


def fingerprint() -> str:
    """Identify what the environment is made from. A moved clone needs a new one."""
    digest = hashlib.sha256(os.fsencode(ROOT))
    for name in ("pyproject.toml", "uv.lock"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def prepare(environment: dict[str, str]) -> None:
    if sys.stderr.isatty():
        print("Preparing .venv: this is done once.", file=sys.stderr)
    python = str(PYTHON) if minor_of(PYTHON) else find_python(environment)
    if not UV.exists():
        install_uv(environment)
    if STAMP.exists():
        STAMP.unlink()
    # --frozen, not --locked: a user's own index or options must not require another lock.
    command = [str(UV), "sync", "--frozen", "--quiet", "--project", str(ROOT), "--python", python]
    result = subprocess.run(command, env=environment, check=False, **CAPTURE)
    if result.returncode and "certificate" in result.stdout:
        # The network has its own certificate authority, known to the system but not to uv.
        command.append("--system-certs")
        result = subprocess.run(command, env=environment, check=False, **CAPTURE)
    if result.returncode:
        fail(
            f"uv could not install the project's dependencies into {VENV}:\n\n"
            f"{result.stdout.strip()}\n\n"
            "Downloads need a network connection to the package index; a proxy or mirror is "
            "taken from HTTPS_PROXY and UV_DEFAULT_INDEX."
        )
    STAMP.write_text(fingerprint(), "ascii")


def install_uv(environment: dict[str, str]) -> None:
    new = BOOTSTRAP / "uv.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(UV.parent.parent, ignore_errors=True)
    new.mkdir(parents=True)
    # Into our own folder, which system Pythons allow; this needs neither venv nor ensurepip.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-user", "--only-binary=:all:", "--target", str(new), UV_REQUIREMENT]
    result = subprocess.run(command, env=environment, check=False, **CAPTURE)
    if result.returncode:
        shutil.rmtree(new, ignore_errors=True)
        output = result.stdout.strip()
        if output.endswith("No module named pip"):
            fail(
                f"{sys.executable} has no pip. Install it (on Debian: apt install python3-pip), "
                "or start this script with a Python that has it."
            )
        fail(
            f"pip could not install {UV_REQUIREMENT} into {new.parent}:\n\n{output}\n\n"
            "This needs a network connection to the package index; a proxy or mirror is taken "
            "from HTTPS_PROXY and PIP_INDEX_URL."
        )
    new.rename(UV.parent.parent)


def find_python(environment: dict[str, str], minors: tuple[int, ...] = MINORS) -> str:
    """Return the best Python of this machine, by what each answers to a probe."""
    found = {}
    for path in candidates(environment):
        minor = minor_of(path)
        if minor and minor not in found:
            found[minor] = path
    for minor in minors:
        if minor in found:
            return str(found[minor])
    versions = ", ".join(f"3.{minor}" for minor in reversed(MINORS))
    fail(
        f"no suitable Python was found. Codemode runs on CPython {versions} (with the ssl, "
        "sqlite3 and ctypes modules); this is "
        f"{sys.version.split()[0]}. Install one of them, such as python3.{MINORS[-1]} by your "
        "system's packages or by pyenv, so that it is on PATH, and start this again."
    )


def candidates(environment: dict[str, str]) -> list[Path]:
    names = [f"python3.{minor}" for minor in MINORS] + ["python3", "python"]
    folders = [Path(folder) for folder in os.get_exec_path(environment) if folder]
    home = Path(environment.get("HOME") or "/")
    pyenv = Path(environment.get("PYENV_ROOT") or home / ".pyenv")
    paths = [Path(sys.executable)]
    paths += [folder / name for folder in folders for name in names]
    paths += sorted(pyenv.glob("versions/3.*/bin/python"), reverse=True)
    paths += sorted(home.glob(".local/share/uv/python/cpython-*/bin/python3"), reverse=True)
    return paths


def minor_of(path: Path) -> int | None:
    """Return the minor version of a suitable Python 3; None for any other or a broken Python."""
    try:
        if not os.access(path, os.X_OK):
            return None
        result = subprocess.run(
            [str(path), "-I", "-c", PROBE], check=False, timeout=20, cwd="/", **CAPTURE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    answer = result.stdout.split()
    if result.returncode or len(answer) != 2 or answer[0] != "3":
        return None
    minor = int(answer[1])
    return minor if minor in MINORS else None


CAPTURE = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "encoding": "utf-8",
    "errors": "replace",
}


def fail(message: str) -> NoReturn:
    sys.exit(f"with_env: {message}")


if __name__ == "__main__":
    main()
