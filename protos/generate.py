"""Regenerate ``codemode/protos`` from ``codemode.proto``.

Run ``python protos/generate.py`` in the project's environment. With a folder
as its argument, the package is written there instead, which is how a test
finds out that the committed modules are stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def generate(target: Path) -> None:
    """Write the generated modules under ``target``, as ``codemode/protos/codemode_pb2*``.

    Raises SystemExit with protoc's code when the contract does not compile.
    """
    code = protoc.main(
        [
            "protoc",
            # The virtual path gives absolute imports and a file name that no
            # other project's descriptors share.
            f"-Icodemode/protos={ROOT / 'protos'}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            "codemode/protos/codemode.proto",
        ]
    )
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
