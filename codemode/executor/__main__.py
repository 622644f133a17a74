"""The executor's entry point: ``python -m codemode.executor``, or ``codemode-executor``."""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    sys.stderr.write(
        f"codemode-executor needs Linux, and this is {sys.platform}; run it in a Linux container "
        "or host, and let clients reach it by their executor_url\n"
    )
    sys.exit(3)  # exit status: cannot serve

# The newer listener of gRPC (1.85) passes every message through several more threads, which
# makes a tool call a fifth slower. Set before the import below: gRPC reads it on import.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

from codemode.executor.serving.command import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
