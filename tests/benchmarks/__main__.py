"""Measurements of what the design promises: ``python -m tests.benchmarks``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.benchmarks import (
    fairness,
    growth,
    large,
    load,
    lockdown,
    many,
    mcp,
    memory,
    recorded,
    report,
    startup,
    tools,
    trivial,
)
from tests.benchmarks.figure import Figure

_GROUPS = {
    "trivial": trivial.measure,
    "tools": tools.measure,
    "many": many.measure,
    "load": load.measure,
    "fairness": fairness.measure,
    "large": large.measure,
    "mcp": mcp.measure,
    "recorded": recorded.measure,
    "memory": memory.measure,
    "lockdown": lockdown.measure,
    "startup": startup.measure,
    "growth": growth.measure,
}


def main() -> int:
    """Measure and print; with ``--strict`` return 1 when a target was missed."""
    options = _options()
    circumstances = report.conditions()
    figures: list[Figure] = []
    for name in options.only or _GROUPS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures += _GROUPS[name](quick=options.quick)
    lines = [", ".join(f"{name} {value}" for name, value in circumstances.items())]
    lines += ["", report.table(figures)]
    # When the JSON goes to stdout, stdout may contain nothing else.
    print(*lines, sep="\n", file=sys.stderr if options.json == "-" else sys.stdout)
    if options.json is not None:
        text = json.dumps(report.as_json(figures, circumstances), indent=2) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            Path(options.json).write_text(text)
    return int(options.strict and any(figure.reached is False for figure in figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure speed, size and growth."
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=sorted(_GROUPS),
        metavar="NAME",
        help=f"measure this group; may be repeated: {', '.join(_GROUPS)}",
    )
    parser.add_argument("--quick", action="store_true", help="take few samples")
    parser.add_argument("--json", metavar="FILE", help="write JSON as well; - is stdout")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
