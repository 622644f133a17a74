"""A forker of guests on request, like the zygote; the driver runs it as a script.

Usage: guest_forker.py CONTROL_FD SEARCH_PATH [blind]. A request is one byte with the
guest's socket attached; the answer is the guest's pid. A request without a
socket is a pid to wait for; the answer is its wait status.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys


def main() -> None:
    sys.path[:] = [*sys.argv[2].split(os.pathsep), *sys.path]
    from codemode.sandbox.guest import runtime as guest
    from codemode.sandbox.guest.code import compilation
    from codemode.sandbox.guest.code.look import Sight
    from codemode.sandbox.guest.stacks import hide_package

    if "blind" in sys.argv:
        vars(compilation)["look"] = lambda tree, known: Sight([], [])
    control = socket.socket(fileno=int(sys.argv[1]))
    served = guest.Guest()
    hide_package()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if not data:
            return
        if descriptors:
            pid = os.fork()
            if pid == 0:
                os.dup2(descriptors[0], 3)
                os.closerange(4, 256)
                served.attach(socket.socket(fileno=3))
                served.serve()
            os.close(descriptors[0])
            control.sendall(struct.pack("!q", pid))
        else:
            _, status = os.waitpid(struct.unpack("!q", data)[0], 0)
            control.sendall(struct.pack("!q", status))


main()
