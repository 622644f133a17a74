"""Advice on what a sandbox does not have: network, processes, files, memory."""

from __future__ import annotations

import ast
import errno
import os
import resource
import socket
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, cast

from codemode.sandbox.guest.advice.near import cut_name, listed, similar_names
from codemode.sandbox.guest.advice.scene import Scene
from codemode.sandbox.guest.advice.texts import argument, is_exactly, said
from codemode.sandbox.guest.tools.toolbox import Tools

__all__ = ["NO_NETWORK", "NO_PROCESSES", "memory", "system", "threads"]

NO_NETWORK: Final = "there is no network here: data comes from tools, or as inputs of the run"
NO_PROCESSES: Final = (
    "no other program or process can be started here: write it in Python, "
    "and use asyncio.gather for async tools"
)
_NO_MEMORY: Final = "the run's memory limit is reached: work on less data at a time"

_OS_ERRORS: Final = (
    BlockingIOError,
    ChildProcessError,
    ConnectionRefusedError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    OSError,
    PermissionError,
    TimeoutError,
    socket.gaierror,
)
_OF_NETWORK: Final = (
    *("/socket.py", "/ssl.py", "/http/client.py", "/urllib/request.py", "/socketserver.py"),
    *("/asyncio/selector_events.py", "/asyncio/base_events.py", "/ftplib.py", "/smtplib.py"),
    *("/asyncio/unix_events.py", "/imaplib.py", "/poplib.py"),
)
_OF_PROCESSES: Final = ("/subprocess.py", "/multiprocessing/", "/pty.py")
_CALLS_OF_NETWORK: Final = frozenset(
    "bind connect connect_ex create_connection getaddrinfo gethostbyname listen sendto".split()
)
_CALLS_OF_PROCESSES: Final = frozenset(
    "execl execle execlp execv execve execvp fork forkpty popen posix_spawn posix_spawnp "
    "spawnl spawnv system".split()
)
_CLIENTS: Final = frozenset(
    "aiohttp botocore httpcore httpx httpx2 requests urllib3 urllib websockets".split()
)
_FULL: Final = MappingProxyType(
    {
        errno.EFBIG: "a file may not be that large here: keep less, or return it as the value",
        errno.EMFILE: "too many files are open: open them in a `with` block",
        errno.ENOMEM: _NO_MEMORY,
        errno.ENOSPC: "the run's disk is full: remove files, or keep the data in memory",
    }
)
_LINKS = 10
_ENTRIES = 1_000
_SHOWN = 10

# Captured at import: the code may replace them.
_scandir = os.scandir
_getcwd = os.getcwd
_context_of = BaseException.__dict__["__context__"].__get__
_cause_of = BaseException.__dict__["__cause__"].__get__
_namespace_of = type.__dict__["__dict__"].__get__
_getrlimit = resource.getrlimit


def system(error: BaseException, scene: Scene, tools: Tools) -> str:
    """Return advice on errors of the system, and of the libraries that meet them."""
    if _module_of(type(error)) == "pyo3_runtime" and "spawn thread" in said(error):
        return "a library could start no thread: the run's limit of threads or memory is reached"
    if _is_of_network(error, scene):
        return NO_NETWORK
    if not _is_os_error(error):
        return ""
    assert isinstance(error, OSError)
    number = error.errno
    if type(number) is int and number in _FULL:
        return _FULL[number]
    if _is_of_processes(scene):
        return NO_PROCESSES
    path = error.filename
    return _file(error, path, scene) if type(path) is str else ""


def threads(error: RuntimeError, scene: Scene, tools: Tools) -> str:
    """Return advice where no further thread can be started."""
    if said(error) != "can't start new thread":
        return ""
    most = _getrlimit(resource.RLIMIT_NPROC)[0]
    known = f" ({most} at most)" if 0 < most < 10_000 else ""
    return (
        f"a run has few threads{known}: write ThreadPoolExecutor(max_workers=8), "
        "or asyncio.gather for async tools"
    )


def memory(error: ImportError, scene: Scene, tools: Tools) -> str:
    """Return advice where a library could not be loaded for lack of memory."""
    text = said(error)
    if "failed to map segment" in text or "Cannot allocate memory" in text:
        return "the run's memory limit is reached while the library is loaded: import it first"
    return ""


def _is_of_network(error: BaseException, scene: Scene) -> bool:
    if scene.library.endswith(_OF_NETWORK) and _is_os_error(error):
        return True
    top = _module_of(type(error)).partition(".")[0]
    if top in _CLIENTS:
        return any(_is_os_error(one) for one in _linked(error))
    if type(error) is socket.gaierror:
        return True
    return _is_os_error(error) and scene.direct and _called(scene) in _CALLS_OF_NETWORK


def _is_of_processes(scene: Scene) -> bool:
    if any(one in scene.library for one in _OF_PROCESSES):
        return True
    return (scene.direct or scene.library.startswith("<frozen os>")) and (
        _called(scene) in _CALLS_OF_PROCESSES
    )


def _is_os_error(error: object) -> bool:
    return is_exactly(error, *_OS_ERRORS)


def _linked(error: BaseException) -> list[object]:
    """Return the exceptions behind one: its causes, contexts and first arguments."""
    waiting: list[object] = [error]
    found: list[object] = []
    while waiting and len(found) < _LINKS:
        one = waiting.pop(0)
        if issubclass(type(one), BaseException):
            found.append(one)
            waiting += (_cause_of(one), _context_of(one), argument(cast(BaseException, one)))
    return found


def _module_of(kind: type) -> str:
    name = _namespace_of(kind).get("__module__")
    return name if type(name) is str else ""


def _called(scene: Scene) -> str:
    """Return the last name of the function that the failing line calls."""
    node = scene.node
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _file(error: OSError, path: str, scene: Scene) -> str:
    folder = _getcwd()
    writing = _writes(scene.node)
    refused = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    outside = os.path.isabs(path) and not path.startswith(f"{folder}/")
    if outside and (refused or writing):
        name = os.path.basename(path) or "x"
        return (
            f"only the folder {folder} can be written to: use {cut_name(name)!r} without a folder"
        )
    if type(error) is FileNotFoundError:
        contents = _contents(path, folder)
        more = "" if contents.endswith("?") else "; data comes as inputs or from tools"
        return f"{contents}{more}"
    return ""


def _writes(node: ast.AST | None) -> bool:
    """Return whether a call opens a file to write to it, or makes one."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("write_text", "write_bytes", "mkdir", "makedirs", "touch"):
        return True
    modes: list[Any] = [*node.args[1:2], *node.args[:1], *(one.value for one in node.keywords)]
    return name == "open" and any(
        isinstance(one, ast.Constant)
        and type(one.value) is str
        and len(one.value) <= 3
        and set(one.value) & set("wax")
        for one in modes
    )


def _contents(path: str, folder: str) -> str:
    """Return what is there in place of a file that is not."""
    where = os.path.dirname(path) or "."
    within = os.path.abspath(where)
    if within != folder and not within.startswith(f"{folder}/"):
        return f"the work folder is {folder}, and {_listing(folder)}"
    try:
        names = _names_in(where)
    except OSError:
        return f"there is no folder {cut_name(where)!r}; the work folder {_listing(folder)}"
    near = similar_names(os.path.basename(path), names, most=1)
    if near:
        return f"Did you mean {os.path.join(os.path.dirname(path), near[0])!r}?"
    return f"the {'work ' * (within == folder)}folder {_listing(where)}"


def _listing(folder: str) -> str:
    names = _names_in(folder)
    return f"has {listed(names, _SHOWN)}" if names else "is empty"


def _names_in(folder: str) -> list[str]:
    with _scandir(folder) as entries:
        return sorted(one.name for one in islice(entries, _ENTRIES))
