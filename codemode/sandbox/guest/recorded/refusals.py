"""What the loops of recorded runs do not have: descriptors, signals and processes.

Where the sandbox has none of these either, its own error is raised, as in a run
that is not recorded: code may catch that, and the advice on it is known.
"""

from __future__ import annotations

import asyncio.base_events
import socket
import subprocess
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["LoopWithoutDescriptors"]

# Captured at import: the code may replace them.
_socket = socket.socket
_Program = subprocess.Popen

_MESSAGE = "a recorded run watches no descriptors and no signals, and starts no processes"


class LoopWithoutDescriptors(asyncio.base_events.BaseEventLoop):
    """An event loop that says why it cannot do what needs descriptors, signals or processes."""

    def add_reader[*Ts](self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError(_MESSAGE)

    def add_writer[*Ts](self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError(_MESSAGE)

    def add_signal_handler[*Ts](
        self, sig: int, callback: Callable[[*Ts], object], *args: *Ts
    ) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError(_MESSAGE)

    async def create_unix_connection(self, *args: Any, **options: Any) -> NoReturn:
        """Raise the sandbox's refusal of sockets, or NotImplementedError."""
        _socket(socket.AF_UNIX).close()
        raise NotImplementedError(_MESSAGE)

    async def create_unix_server(self, *args: Any, **options: Any) -> NoReturn:
        """Raise the sandbox's refusal of sockets, or NotImplementedError."""
        _socket(socket.AF_UNIX).close()
        raise NotImplementedError(_MESSAGE)

    async def _make_subprocess_transport(
        self, protocol: Any, args: Any, shell: bool, *more: Any, **options: Any
    ) -> NoReturn:
        """Raise the sandbox's refusal of processes, or NotImplementedError.

        Not with the program that the code asks for: where it started, it would have an effect.
        """
        with _Program("true" if shell else ["true"], shell=shell):
            raise NotImplementedError(_MESSAGE)
