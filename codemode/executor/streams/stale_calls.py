"""Calls of runs that are over, made by what these runs left behind in the sandbox."""

from __future__ import annotations

from codemode.config import Limits
from codemode.executor.pool.children import Child
from codemode.executor.pool.frame_stream import ReceivedFrame
from codemode.wire.frames import Frame, pack_texts

__all__ = ["refuse_stale_call"]


async def refuse_stale_call(child: Child, frame: ReceivedFrame, limits: Limits) -> bool:
    """Answer a call of a finished run with a failure; drop any other frame.

    Returns False once the child has made more such calls than ``max_tool_calls``.
    """
    if frame.kind is Frame.CALL:
        child.stale_calls += 1
        if child.stale_calls > limits.max_tool_calls:
            return False
        await child.frames.send_frame(
            Frame.TOOL_FAILURE,
            frame.run,
            frame.call,
            pack_texts("error", "RunIsOver", "the run that this call belongs to has ended"),
        )
    return True
