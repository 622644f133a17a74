"""The first steps of a forked child, before it sees any code.

``start`` applies the layers of the tier, one after the other, each fatal when
it fails, and then hands over to the guest runtime. A tier is a tuple of
layers: the kernel lock-down adds its own to it.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from codemode.sandbox import guest
from codemode.sandbox.frames import Frame, pack
from codemode.sandbox.syscalls import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
)

__all__ = ["CHANNEL_FD", "LAYERS", "LOCK_FAILED", "start"]

CHANNEL_FD = 3
LOCK_FAILED = 70
"""Exit status of a child that could not lock itself down: no code has run."""

Settings = Mapping[str, Any]


def own_session(settings: Settings) -> None:
    """Leave the zygote's process group, so that ``kill(0)`` reaches nobody else."""
    os.setsid()


def die_with_zygote(settings: Settings) -> None:
    """Be killed when the zygote dies."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != settings["zygote_pid"]:
        os._exit(LOCK_FAILED)


def ceilings(settings: Settings) -> None:
    """Set the hard limits to the executor's ceilings; a run can only lower them."""
    for name, value in settings["rlimits"].items():
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(number, (value, value))


def no_new_privileges(settings: Settings) -> None:
    """Make set-uid programs and core dump helpers of no use."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)


Layer = Callable[[Settings], None]

LAYERS: Mapping[str, tuple[Layer, ...]] = {
    "none": (own_session, die_with_zygote, ceilings, no_new_privileges),
}
"""The layers of each tier, in the order in which they are applied."""


def start(channel: int, raw_output: int, *, slot: int, settings: Settings) -> NoReturn:
    """Lock this process down, say READY and serve one stream. Never returns."""
    try:
        _arrange_descriptors(channel, raw_output)
        for layer in LAYERS[settings["tier"]]:
            layer(settings)
        _enter_workdir(settings, slot)
        _reseed()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
        sock = socket.socket(fileno=CHANNEL_FD)
        sock.sendall(pack(Frame.READY, 0, 0))
    except BaseException as error:  # noqa: BLE001  # reported, then fatal
        os.write(2, f"sandbox start failed: {type(error).__name__}: {error}\n".encode())
        os._exit(LOCK_FAILED)
    try:
        guest.serve(sock)
    except BaseException:  # noqa: BLE001  # reported, then fatal
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(1)


def _arrange_descriptors(channel: int, raw_output: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    # Moved up first: dup2 onto 0 to 3 must not overwrite one of the sources.
    high = [os.dup2(fd, 200 + index) for index, fd in enumerate((null, raw_output, channel))]
    for source, target in ((high[0], 0), (high[1], 1), (high[1], 2), (high[2], CHANNEL_FD)):
        os.dup2(source, target)
    os.closerange(CHANNEL_FD + 1, min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20))


def _enter_workdir(settings: Settings, slot: int) -> None:
    """Work in a folder of this child's own; the executor removes it afterwards."""
    path = os.path.join(settings["workdir"], str(slot))
    os.mkdir(path, 0o700)
    os.chdir(path)
    os.environ["HOME"] = os.environ["TMPDIR"] = path


def _reseed() -> None:
    """Give this child random numbers of its own, whatever it shares with its siblings.

    CPython reseeds ``random`` after a fork; OpenSSL and numpy only notice a
    changed process id, which is the same in every PID namespace.
    """
    random.seed(os.urandom(32))
    if ssl := sys.modules.get("ssl"):
        ssl.RAND_add(os.urandom(32), 32.0)
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed(int.from_bytes(os.urandom(4), "little"))
