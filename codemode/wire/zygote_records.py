"""The records between the executor and a zygote, on a SOCK_SEQPACKET socket.

``number`` is the sandbox's number. Fields are big-endian:

    executor to zygote   b"S" number:u32            + fds (frame socket, raw output, and the
                                                      entrance files of its control group)
    zygote to executor   b"R"                       ready
                         b"F" number:u32            + fd (pidfd of the child)
                         b"N" number:u32 errno:u32  fork failed
                         b"X" number:u32 status:i32 cpu_us:u64 max_rss_kb:u64
"""

from __future__ import annotations

import struct

__all__ = ["EXITED", "FAILED", "FORKED", "READY", "SPAWN"]

SPAWN = struct.Struct("!cI")
READY = b"R"
FORKED = struct.Struct("!cI")
FAILED = struct.Struct("!cII")
EXITED = struct.Struct("!cIiQQ")
