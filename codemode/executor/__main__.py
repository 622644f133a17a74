"""The executor's process: ``python -m codemode.executor``, or ``codemode-executor``."""

from __future__ import annotations

import os

# With its newer listener gRPC (1.85) hands every message through several more threads: a
# tool call takes a fifth longer. Set here, for gRPC reads it when it is imported.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

from codemode.executor.command import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
