"""The executor's process: ``python -m codemode.executor``, or ``codemode-executor``."""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    sys.stderr.write(
        f"codemode-executor needs Linux, and this is {sys.platform}; run it in a Linux container "
        "or host, and let clients reach it by their executor_url\n"
    )
    sys.exit(3)  # it cannot serve

# With its newer listener gRPC (1.85) hands every message through several more threads: a
# tool call takes a fifth longer. Set here, for gRPC reads it when it is imported.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

from codemode.executor.serving.command import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
