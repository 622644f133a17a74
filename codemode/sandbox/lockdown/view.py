"""The file system that the executed code sees: a small read-only tree of bind mounts."""

from __future__ import annotations

import ctypes
import glob
import os
import stat
import struct
import sys
import sysconfig
from collections.abc import Mapping, Sequence

from codemode.sandbox.syscalls import mount, pivot_root, syscall, umount

__all__ = ["DEVICES", "build", "package_folders", "private_tmp", "read_only_folders"]

_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_REMOUNT, _BIND, _REC, _PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH = 2

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4

DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

# The dynamic linker finds the libraries of the standard library's modules here.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_ZONES = "/usr/share/zoneinfo"
_ROOT = "/tmp"  # noqa: S108  # any existing folder: it is hidden only in our own mount namespace


def read_only_folders(extra: Sequence[str] = ()) -> list[str]:
    """Return the paths in the view: the interpreter's and the system's libraries, zones, extras.

    ``extra`` may name files as well as folders.
    """
    # In a virtual environment, "platstdlib" would be the folder of its packages.
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    standard = [sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")]
    prefix = os.path.join(sys.base_prefix, "lib")
    return _outermost([*standard, *([prefix] if _holds_libpython(prefix) else []), *extra])


def _holds_libpython(folder: str) -> bool:
    try:
        return any(name.startswith("libpython") for name in os.listdir(folder))
    except OSError:
        return False


def _outermost(folders: Sequence[str]) -> list[str]:
    """Return the default and the given folders that exist and are not below another of them."""
    wanted = [folder for folder in (*_LIBRARIES, _ZONES, *folders) if os.path.exists(folder)]
    kept: list[str] = []
    for folder in sorted({os.path.abspath(folder) for folder in wanted}):
        if not _is_within(folder, kept):
            kept.append(folder)
    return kept


def package_folders(folders: Sequence[str], exposed: Sequence[str] = ()) -> list[str]:
    """Return the folders of installed packages in ``folders`` that are not exposed."""
    found = [
        path
        for folder in folders
        for pattern in ("", "python*/")
        for path in glob.glob(f"{folder}/{pattern}*-packages")
        if not os.path.islink(folder) and not os.path.islink(path) and os.path.isdir(path)
    ]
    return sorted(path for path in found if not _is_within(path, exposed))


def _is_within(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def build(folders: Sequence[str], exposed: Sequence[str] = ()) -> None:
    """Replace the root of this mount namespace with the view. Raises OSError.

    Of the installed packages in the folders, the view contains only ``exposed``.
    """
    mount("none", "/", None, _REC | _PRIVATE)
    # Opened first: the new root hides everything below its mount point.
    sources = {path: _open(path) for path in (*folders, *exposed)}
    hidden = package_folders(folders, exposed)
    mount("codemode", _ROOT, "tmpfs", _NOSUID | _NODEV, "size=1m,nr_inodes=4k,mode=755")
    for folder in folders:
        _show(folder, sources[folder])
    for folder in hidden:
        _hide(folder, {path: sources[path] for path in exposed if _is_within(path, [folder])})
    os.makedirs(f"{_ROOT}/dev", exist_ok=True)
    for device in DEVICES:
        _bind(device, _ROOT + device)
        # Read-only protects mode and times of the host's file; the device can still be written.
        flags = _REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC
        mount("none", _ROOT + device, None, flags)
    for source in sources.values():
        os.close(source)
    os.makedirs(f"{_ROOT}/etc", exist_ok=True)
    with open(f"{_ROOT}/etc/passwd", "x", encoding="ascii") as file:
        file.write("sandbox:x:65534:65534::/tmp:/bin/false\n")
    os.makedirs(_ROOT + _ROOT, exist_ok=True)
    os.chmod(_ROOT + _ROOT, 0o777)  # noqa: S103  # each child mounts its own over it
    mount("none", _ROOT, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir(_ROOT)
    pivot_root(".", ".")
    umount(".", _DETACH)
    os.chdir("/")


def private_tmp(size_bytes: int, inodes: int) -> None:
    """Mount a small private file system on /tmp, and change to it. Raises OSError.

    Paths that the view shows below /tmp, such as an interpreter, stay visible.
    """
    os.chdir("/tmp")  # noqa: S108  # the view's; relative paths still name it after the mount
    shown = os.listdir()
    mount(
        "codemode",
        "/tmp",  # noqa: S108  # private to this mount namespace
        "tmpfs",
        _NOSUID | _NODEV | _NOEXEC,
        f"size={size_bytes},nr_inodes={inodes},mode=1777",
    )
    for name in shown:
        _bind(name, f"/tmp/{name}")  # noqa: S108  # private as well
    os.chdir("/tmp")  # noqa: S108  # the one just mounted


def _hide(folder: str, exposed: Mapping[str, int]) -> None:
    """Cover the folder with an empty folder that holds only its exposed paths."""
    target = _ROOT + folder
    mount("codemode", target, "tmpfs", _NOSUID | _NODEV, "size=64k,nr_inodes=256,mode=755")
    for path, source in exposed.items():
        _show(path, source)
    mount("none", target, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _open(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)


def _show(path: str, source: int) -> None:
    """Bind the opened path read-only at its place in the view; copy a symbolic link."""
    target = _ROOT + path
    if stat.S_ISLNK(os.fstat(source).st_mode):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink("", dir_fd=source), target)
        return
    _bind(f"/proc/self/fd/{source}", target)
    try:
        attributes = struct.pack("QQQQ", _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, 0, 0, 0)
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        syscall(
            "mount_setattr",
            _AT_FDCWD,
            os.fsencode(target),
            _AT_RECURSIVE,
            ctypes.addressof(buffer),
            len(attributes),
        )
    except OSError:
        # Linux before 5.12: remount one by one, the innermost last.
        for inner in _mounts_below(target):
            mount("none", inner, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _bind(source: str, target: str) -> None:
    """Bind a file, or a folder with everything mounted below it, at another place."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb"):
            pass
    # In a user namespace, the kernel refuses a non-recursive bind of a tree that contains mounts.
    mount(source, target, None, _BIND | _REC)


def _mounts_below(target: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split()[4] for line in file]
    return [point for point in points if point == target or point.startswith(f"{target}/")]
