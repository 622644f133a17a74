"""A trial of one tier on this host, in a throw-away process.

Run as ``python -s -P -S -B trial.py SETTINGS``, the trial prepares like a zygote,
forks one child, applies each layer and prints one JSON object: ``{"ok": true, ...}``
or the step that failed and its errno.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["main"]


def main(settings: Mapping[str, Any]) -> None:
    """Try the tier of the settings on this host and print the outcome."""
    from codemode.sandbox.lockdown import landlock
    from codemode.sandbox.lockdown.boot import prepare
    from codemode.sandbox.lockdown.layers import LAYERS, Boot

    facts: dict[str, Any] = {"landlock_abi": landlock.abi()}
    try:
        prepared = prepare(settings["tier"], settings["exposed"])
        boot = Boot(
            tier=settings["tier"],
            number=0,
            zygote_pid=os.getpid(),
            rlimits=settings["rlimits"],
            threads=settings["threads"],
            disk_bytes=settings["disk_bytes"],
            workdir=settings["workdir"],
            memory_base=prepared.memory_base,
            landlock_fd=prepared.landlock_fd,
            filter_bytes=prepared.filter_bytes,
            highest_fd=prepared.highest_fd,
            readable=prepared.readable,
        )
        pid = prepared.fork()
    except (OSError, NotImplementedError) as error:
        _print(facts, failed="prepare", error=error)
        return
    if pid:
        os.waitpid(pid, 0)
        return
    step = ""
    spent: dict[str, float] = {}
    try:
        for layer in LAYERS[settings["tier"]]:
            step = layer.__name__
            began = time.perf_counter()
            layer(boot)
            spent[step] = round((time.perf_counter() - began) * 1e6, 1)
    except (OSError, ValueError, NotImplementedError, RuntimeError) as error:
        _print(facts, failed=step, error=error)
    else:
        refused = [*prepared.refused, *boot.refused]
        _print({**facts, "ok": True, "layers_us": spent, "refused": refused})
    os._exit(0)


def _print(facts: Mapping[str, Any], *, failed: str = "", error: Exception | None = None) -> None:
    report = dict(facts)
    if error is not None:
        report |= {
            "ok": False,
            "failed": failed,
            "errno": getattr(error, "errno", None),
            "error": str(error),
        }
    os.write(1, json.dumps(report).encode())


if __name__ == "__main__":
    _settings = json.loads(sys.argv[1])
    sys.path += _settings["import_path"]
    main(_settings)
