"""The check that a folder's wheel and source distribution have exactly the expected files."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("codemode", "django_codemode")
OF_THE_SOURCE = (*PACKAGES, "protos", "docs", "README.md", "CHANGELOG.md", "LICENSE")
# Added by the build.
ADDED = {"PKG-INFO", "pyproject.toml", ".gitignore"}
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
    """Return a line about both distributions. Raises SystemExit if one is not as expected."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        description = archive.read(metadata).decode()
    packed = {name for name in names if ".dist-info/" not in name}
    _compare(wheel, packed, tracked(PACKAGES) | NEEDED)
    if not any(name.endswith("/LICENSE") for name in names):
        sys.exit(f"{wheel.name} lacks its licence")
    if links := re.findall(r"\]\((?!https?://)[^)]*\)", description):
        sys.exit(f"the description of {wheel.name} has links that lead nowhere: {', '.join(links)}")

    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as files:
        inside = {one.name.partition("/")[2] for one in files.getmembers() if one.isfile()}
    _compare(source, inside, tracked(OF_THE_SOURCE) | ADDED)
    return f"{wheel.name} has {len(packed)} files, {source.name} has {len(inside)}"


def tracked(paths: Iterable[str]) -> set[str]:
    """Return the committed files at or under the paths."""
    command = ["git", "ls-files", "-z", *paths]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return set(listing.split("\0")) - {""}


def _compare(distribution: Path, packed: set[str], expected: set[str]) -> None:
    for problem, found in (("lacks", expected - packed), ("has stray files", packed - expected)):
        if found:
            sys.exit(f"{distribution.name} {problem}: {', '.join(sorted(found))}")


if __name__ == "__main__":
    print(check(Path(sys.argv[1])))
