"""Check that the wheel in a folder has every file of the packages, and no other."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("codemode", "django_codemode")
NEEDED = {
    "codemode/protos/codemode_pb2.py",
    "codemode/protos/codemode_pb2.pyi",
    "codemode/protos/codemode_pb2_grpc.py",
    "codemode/py.typed",
    "codemode/sandbox/lockdown/sandbox-seccomp.json",
    "django_codemode/migrations/0001_initial.py",
    "django_codemode/py.typed",
    "django_codemode/static/django_codemode/playground/playground.css",
    "django_codemode/static/django_codemode/playground/playground.js",
    "django_codemode/templates/django_codemode/playground/page.html",
}


def check(folder: Path) -> str:
    """Return a line about the wheel. Raises SystemExit when it is not as expected."""
    (wheel,) = folder.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    packed = {name for name in names if ".dist-info/" not in name}
    command = ["git", "ls-files", "-z", *PACKAGES]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = set(listing.split("\0")) - {""}
    for problem, found in (
        ("lacks", (tracked | NEEDED) - packed),
        ("has stray files", packed - tracked),
        ("lacks its licence", {"LICENSE"} - {name.rpartition("/")[2] for name in names}),
    ):
        if found:
            sys.exit(f"{wheel.name} {problem}: {', '.join(sorted(found))}")
    return f"{wheel.name} has the {len(packed)} files of {' and '.join(PACKAGES)}"


if __name__ == "__main__":
    print(check(Path(sys.argv[1])))
