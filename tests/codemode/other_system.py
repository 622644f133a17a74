"""A process of another system: ``other_system.py SYSTEM URL KEY`` runs Codemode without Linux's own
features.

What the system lacks is hidden before any module of Codemode is imported. Other packages are
imported before that, because they have versions for that system.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import select
import signal
import socket
import sys

import asgiref.sync
import cbor2
import channels.generic.websocket
import django.contrib.admin
import django.core.management
import google.protobuf.descriptor_pool
import grpc.aio
import grpc.experimental.gevent
import pydantic_settings
from django.conf import settings

__all__ = ["OTHER_PACKAGES"]

OTHER_PACKAGES = (asgiref, cbor2, channels, django, google, grpc, pydantic_settings)

MODULES = {
    "darwin": (),
    "win32": ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"),
}
ATTRIBUTES = {
    os: {
        "darwin": "memfd_create pidfd_open pipe2 sched_getaffinity setns setresgid setresuid "
        "unshare P_PIDFD SCHED_OTHER",
        "win32": "chown fchmod fchown fork forkpty geteuid getegid getpgid getpgrp getresuid getsid "
        "getuid getgid killpg mkfifo nice posix_spawn pread pwrite register_at_fork setpgid setsid "
        "setuid setgid statvfs sysconf uname wait waitid WNOHANG WEXITED O_CLOEXEC O_DIRECTORY "
        "O_NOFOLLOW O_NONBLOCK",
    },
    select: {"darwin": "", "win32": "poll"},
    signal: {
        "darwin": "pidfd_send_signal sigtimedwait sigwaitinfo",
        "win32": "SIGALRM SIGCHLD SIGHUP SIGKILL SIGUSR1 alarm pthread_sigmask setitimer sigwait",
    },
    socket: {"darwin": "SO_PEERCRED", "win32": "SCM_RIGHTS recv_fds send_fds"},
}


def become(system: str) -> None:
    """Hide what the system lacks; what macOS lacks, Windows lacks too."""
    asyncio.new_event_loop().close()  # chooses the kind of loop of the system that this is
    for name in MODULES[system]:
        sys.modules[name] = None  # type: ignore[assignment]  # makes its import fail
    for module, lacking in ATTRIBUTES.items():
        names = lacking["darwin"].split()
        if system == "win32":
            names += lacking["win32"].split()
        for name in names:
            delattr(module, name)
    sys.platform = system


def use(url: str, key: str) -> None:
    """Import every public name, and execute on a remote executor by both halves."""
    import codemode

    for name in codemode.__all__:
        getattr(codemode, name)
    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_codemode"],
        MIDDLEWARE=["django_codemode.middleware.CodemodeMiddleware"],
        CODEMODE={"EXECUTOR_URL": url, "EXECUTOR_API_KEY": key},
    )
    django.setup()
    for module in ("asgi", "consumers", "middleware", "signals", "testing", "urls", "views"):
        importlib.import_module(f"django_codemode.{module}")

    from django_codemode import get_codemode

    facade = get_codemode()

    async def double(number: int) -> int:
        """Return twice a number."""
        return 2 * number

    facade.registry.register_tool("double", double)
    django.core.management.call_command("check")
    with facade:
        print(facade.execute("await double(21)"))
        print(asyncio.run(facade.execute_async("await double(22)")))


def start_executors() -> None:
    """Try to start executors, which is impossible there."""
    from codemode import Codemode, ExecutorConnectionError

    with Codemode() as facade:
        try:
            facade.run("1")
        except ExecutorConnectionError as error:
            print(error)
    importlib.import_module("codemode.executor.__main__")


if __name__ == "__main__":
    become(sys.argv[1])
    use(*sys.argv[2:])
    start_executors()
