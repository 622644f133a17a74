"""The matrix of servers: ``python -m tests.servers`` tries every server and prints it.

With ``--endings``, it prints instead how runs end with their requests and servers.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field

from tests.servers.cells import CELLS, LOAD, SMOKE
from tests.servers.endings import (
    end_with_the_client,
    end_with_the_server,
    left_by_clients,
    told_to_end,
)
from tests.servers.server import SERVERS, RunningServer, Server
from tests.servers.traffic import Tally, Volume
from tests.support.deaths import PROMISED_SECONDS
from tests.support.processes import ExecutorProcess

KEY = "a-key-of-the-tests"


@dataclass(slots=True)
class Row:
    """The outcome of one server."""

    name: str
    cells: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    executions: int = 0
    leaks: int = 0
    errors: int = 0
    complaints: list[str] = field(default_factory=list)


def main() -> int:
    """Try the servers; return 1 when anything was wrong."""
    options = _options()
    chosen = [one for one in SERVERS if not options.only or one.name in options.only]
    if options.endings:
        # Sandboxes report their process ids, which are unknown inside a PID namespace.
        with ExecutorProcess("--tier", "unsafe") as executor:
            return _print_endings(chosen, executor.url)
    started = time.monotonic()
    heads = ["server", *CELLS, "SIGTERM", "requests", "executing", "leaks", "errors"]
    _print_row(heads)
    _print_row(["---"] * len(heads))
    with ExecutorProcess(environment={"CODEMODE_EXECUTOR_API_KEY": KEY}) as executor:
        rows = []
        for server in chosen:
            print(f"{server.name} ...", file=sys.stderr, flush=True)
            url = None if options.embedded else executor.url
            row = examine(server, SMOKE if options.quick else LOAD, url)
            rows.append(row)
            figures = (row.requests, row.executions, row.leaks, row.errors)
            _print_row([row.name, *row.cells.values(), *(f"{figure:,}" for figure in figures)])
    print(
        f"\n{sum(row.requests for row in rows):,} requests, of which "
        f"{sum(row.executions for row in rows):,} execute code; "
        f"{sum(row.leaks for row in rows)} leaks, {sum(row.errors for row in rows)} errors; "
        f"{time.monotonic() - started:.0f} s"
    )
    for row in rows:
        for complaint in row.complaints:
            print(f"{row.name}: {complaint}")
    return int(any(row.leaks or row.errors or row.complaints for row in rows))


def examine(server: Server, volume: Volume, executor_url: str | None) -> Row:
    """Start a server, try every cell, and end it."""
    row = Row(server.name)
    key = KEY if executor_url else ""
    with RunningServer(server, executor_url=executor_url, key=key) as running:
        for name, cell in CELLS.items():
            if not cell.applies(server):
                row.cells[name] = "n/a"
                continue
            tally = Tally()
            outcome = cell.check(running, tally, volume) or "ok"
            wrong = [*tally.leaks, *tally.errors]
            row.cells[name] = "LEAK" if tally.leaks else "FAILED" if wrong else outcome
            row.complaints += [f"{name}: {one}" for one in wrong[:5]]
            row.requests += tally.requests
            row.executions += tally.executions
            row.leaks += len(tally.leaks)
            row.errors += len(tally.errors)
        row.cells["SIGTERM"] = f"{running.terminate():.1f} s"
        row.complaints += running.complaints()
    return row


def _print_endings(servers: list[Server], executor_url: str) -> int:
    """Print how soon sandboxes die; return 1 when one died late."""
    views = ("sync view", "async view", "stream")
    heads = ["server", *(f"client leaves, {view}" for view in views[1:])]
    heads += [f"SIGTERM, {view}" for view in views]
    _print_row(heads)
    _print_row(["---"] * len(heads))
    late = []
    for server in servers:
        print(f"{server.name} ...", file=sys.stderr, flush=True)
        cells = {}
        with RunningServer(server, executor_url=executor_url) as running:
            for path, view in left_by_clients(server).items():
                seconds = end_with_the_client(running, path)
                late.append(seconds)
                cells[f"client leaves, {view}"] = f"{seconds * 1000:.0f} ms"
        told_views = told_to_end(server)
        for path, ending in end_with_the_server(server, executor_url).items():
            late.append(ending.late)
            answer = "answered" if ending.answered else "cut off"
            told = "before" if ending.late <= 0 else f"+{ending.late * 1000:.0f} ms"
            cells[f"SIGTERM, {told_views[path]}"] = f"{answer}, {ending.waited:.1f} s, {told}"
        _print_row([server.name, *(cells.get(head, "n/a") for head in heads[1:])])
    print(f"\n{len(late)} runs; the latest sandbox was dead after {max(late) * 1000:.0f} ms")
    return int(max(late) >= PROMISED_SECONDS)


def _print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers", description="Try every server and print the matrix."
    )
    names = [server.name for server in SERVERS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help="try this server; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="little traffic")
    parser.add_argument(
        "--embedded", action="store_true", help="an executor per process, instead of a shared one"
    )
    parser.add_argument(
        "--endings", action="store_true", help="when sandboxes die with requests and servers"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
