"""Debian's next release in a folder, for Pythons that are newer than any of this machine.

    python3 .ci/next_debian.py make FOLDER python3.14 python3.15
    python3 .ci/next_debian.py run FOLDER SHOWN:SHOWN -- COMMAND...

``run`` shows the command the folders named, at their own paths, in mount and process
namespaces of its own. Its root is exchanged, not changed as by chroot, in which a
process may not create the user namespaces of tier A.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RELEASE = "forky"
TO_MOUNT = "unshare --mount --pid --fork mount -t tmpfs none /tmp".split()
MIRRORS = ("apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(CODENAME)")
MIRRORS += ("Created-By: Packages",)
RUN = """
set -e
folder=$1 shown=$2
shift 2
mount --bind "$folder" "$folder"
mount -t proc proc "$folder/proc"
mount --rbind /sys "$folder/sys"
mount --rbind /dev "$folder/dev"
mount -t tmpfs -o mode=1777 none "$folder/tmp"
cp /etc/resolv.conf /etc/hosts "$folder/etc/"
mount --bind /etc/ssl "$folder/etc/ssl"
IFS=:
for one in $shown; do
    mkdir -p "$folder$one"
    mount --bind "$one" "$folder$one"
done
unset IFS
here=$PWD
cd "$folder"
mkdir -p before
pivot_root . before
cd "$here"
umount -l /before
exec "$@"
"""


def why_not() -> str:
    """Return what ``make`` and ``run`` lack on this machine; empty if they should work."""
    if os.geteuid() != 0:
        return "this user is not root"
    if shutil.which("apt-get") is None or mirror() is None:
        return "apt has no mirror of Debian"
    if subprocess.run(TO_MOUNT, capture_output=True, check=False).returncode:
        return "this machine lets root make no mounts of its own"
    return ""


def mirror() -> str | None:
    """Return the mirror of Debian that apt uses here."""
    listing = subprocess.run(MIRRORS, capture_output=True, text=True, check=False).stdout
    for site, origin, release in (line.split() for line in listing.splitlines()):
        if origin == "Debian" and "-" not in release:  # no updates
            return site
    return None


def make(folder: Path, packages: Sequence[str]) -> None:
    """Install the release, with packages, into a new folder. Raises CalledProcessError."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if shutil.which("mmdebstrap") is None:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        install = ["apt-get", "-qq", "install", "--no-install-recommends", "mmdebstrap"]
        subprocess.run(install, check=True, env=quiet, stdout=subprocess.DEVNULL)
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
    # A mirror may be a copy of some earlier day.
    command += ['--aptopt=Acquire::Check-Valid-Until "false"']
    command += [f"--include={','.join((*packages, 'ca-certificates', 'git'))}"]
    subprocess.run([*command, RELEASE, str(folder), str(mirror())], check=True, env=quiet)


def inside(folder: Path, *shown: Path) -> tuple[str, ...]:
    """Return what to put before a command that ``run`` shall run."""
    own = (sys.executable, str(Path(__file__).resolve()), "run")
    return (*own, str(folder), ":".join(map(str, shown)), "--")


def run(folder: str, shown: str, command: Sequence[str]) -> None:
    """Become a command in the folder's system; it returns only by an error."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {**os.environ, "PATH": path, "HOME": "/root"}
    start = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", RUN, "run")
    os.execvpe(start[0], [*start, folder, shown, *command], environment)


if __name__ == "__main__":
    what, place, *rest = sys.argv[1:]
    if what == "make":
        make(Path(place), rest)
    else:
        run(place, rest[0], rest[2:])
