"""The first steps of a forked child, before it sees any code.

``start`` applies the layers of the tier one after the other and then hands over
to the guest. A layer that fails ends the process.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import traceback
from collections.abc import Sequence
from typing import NoReturn

from codemode.sandbox.guest.runtime import Guest
from codemode.sandbox.lockdown.layers import FRAME_FD, LAYERS, Boot
from codemode.wire.frames import Frame, pack

__all__ = ["start"]

_LOCK_FAILED = 70


def start(
    frame_socket: int, raw_output: int, entrances: Sequence[int], boot: Boot, served: Guest
) -> NoReturn:
    """Lock this process down, send READY and serve one stream. Never returns."""
    try:
        for entrance in entrances:
            os.write(entrance, b"0")  # "0" moves the writing process into the control group
        _arrange_descriptors(frame_socket, raw_output, boot)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
        for layer in LAYERS[boot.tier]:
            if layer.__name__ not in boot.without:
                layer(boot)
        served.rehearse()
        sock = socket.socket(fileno=FRAME_FD)
        served.attach(sock)
        sock.sendall(pack(Frame.READY, 0, 0))
    except BaseException as error:  # noqa: BLE001  # reported, then fatal
        os.write(2, f"sandbox start failed: {type(error).__name__}: {error}\n".encode())
        os._exit(_LOCK_FAILED)
    try:
        served.serve(raw_memory_base=boot.memory_base)
    except BaseException:  # noqa: BLE001  # reported, then fatal
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(1)


def _arrange_descriptors(frame_socket: int, raw_output: int, boot: Boot) -> None:
    """Set up descriptors 0 to 3, and close all others but that of the Landlock ruleset.

    0 is /dev/null, 1 and 2 are the raw output, and 3 is the frame socket.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    # Moved up first: dup2 onto 0 to 3 must not overwrite one of the sources.
    # F_DUPFD picks free numbers: the zygote holds a descriptor of each living sandbox.
    null, raw_output, frame_socket = (
        fcntl.fcntl(fd, fcntl.F_DUPFD, FRAME_FD + 1) for fd in (null, raw_output, frame_socket)
    )
    for source, target in ((null, 0), (raw_output, 1), (raw_output, 2), (frame_socket, FRAME_FD)):
        os.dup2(source, target)
    kept = boot.landlock_fd if boot.landlock_fd is not None else FRAME_FD
    os.closerange(FRAME_FD + 1, kept)
    os.closerange(kept + 1, boot.highest_fd)
