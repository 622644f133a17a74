"""The cells of the matrix: what must hold on every server, and the traffic that shows it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import websockets.sync.client

from tests.servers.server import RunningServer, Server
from tests.servers.traffic import (
    ASYNC_CODE,
    SYNC_CODE,
    TENANTS,
    Tally,
    Visitor,
    Volume,
    judge,
    visit,
)
from tests.support.processes import is_running, wait_until

__all__ = ["CELLS", "LOAD", "SMOKE", "Cell"]

SMOKE = Volume(visitors=6, probes=120, streams=12, runs=8, background=6, messages=12, rounds=2)
LOAD = Volume(visitors=10, probes=3_800, streams=80, runs=40, background=20, messages=60, rounds=10)

Check = Callable[[RunningServer, Tally, Volume], str | None]


@dataclass(frozen=True, slots=True)
class Cell:
    """One column: its traffic, and the servers to which it applies.

    ``check`` records everything that is wrong. It returns None, or "refused" where a clear refusal
    is the right answer.
    """

    check: Check
    applies: Callable[[Server], bool] = lambda server: True


def requests_see_their_own_context(
    running: RunningServer, tally: Tally, volume: Volume
) -> str | None:
    paths = ["/probe/"] if running.server.greenlets else ["/probe/", "/aprobe/"]
    if running.server.asgi:
        paths += ["/probe/?wrapped", "/aprobe/?wrapped"]
    jobs = [
        lambda visitor, path=path: visitor.see(path)
        for _ in range(volume.probes // len(paths))
        for path in paths
    ]
    visit(running, tally, volume, jobs)
    return None


def _runs(path: str, code: str) -> Check:
    def cell(running: RunningServer, tally: Tally, volume: Volume) -> str | None:
        if running.server.greenlets and (path == "/aexecute/" or code == ASYNC_CODE):
            return _refused(running, tally, path, code)
        visit(running, tally, volume, [lambda visitor: visitor.run(path, code)] * volume.runs)
        return None

    return cell


def _refused(running: RunningServer, tally: Tally, path: str, code: str) -> str:
    """Expect a clear and immediate refusal. One request at a time: asgiref itself fails at two."""
    visitor = Visitor(running, tally)
    try:
        for _ in range(3):
            text = visitor.ask(path, {"code": code})
            if text is not None and "gevent has patched the threads" not in text:
                tally.fail(f"{path} is not refused: {text[:300]}")
    finally:
        visitor.close()
    return "refused"


def _streams(*paths: str) -> Check:
    def cell(running: RunningServer, tally: Tally, volume: Volume) -> str | None:
        usable = [path for path in paths if running.server.asgi or path != "/raw/"]
        jobs = []
        for number in range(volume.streams):
            path = usable[number % len(usable)]
            # One in six executes code while its body is being produced.
            path += "?execute" if not number % 6 else ""
            jobs.append(lambda visitor, path=path: visitor.read(path))
        visit(running, tally, volume, jobs)
        return None

    return cell


def a_client_that_leaves_ends_the_body(
    running: RunningServer, tally: Tally, volume: Volume
) -> str | None:
    """Leave a body half-way: its clean-up then runs in the request's context."""
    before = len(running.notes("endless"))
    clients = 3
    for number in range(clients):
        tally.count()
        with contextlib.closing(running.connect()) as connection:
            headers = {"X-Tenant": TENANTS[0], "X-Request-ID": f"e{number}"}
            connection.request("GET", "/endless/", headers=headers)
            # Closing the response closes the connection, which would otherwise wait for the body.
            with connection.getresponse() as response:
                lines = [response.readline().decode().strip() for _ in range(2)]
            tally.compare("/endless/", lines, f"{TENANTS[0]} e{number}")
    if not wait_until(lambda: len(running.notes("endless")) == before + clients, 60):
        tally.fail(f"{len(running.notes('endless')) - before} of {clients} bodies have ended")
    for note in running.notes("endless")[before:]:
        tally.compare("the end of /endless/", note["seen"], note["expected"])
    return None


def background_work_keeps_its_context(
    running: RunningServer, tally: Tally, volume: Volume
) -> str | None:
    paths = ["/background/", "/abackground/"] if running.server.asgi else ["/background/"]
    before = len(running.notes("background"))
    jobs = [
        lambda visitor, path=path: visitor.see(path)
        for _ in range(volume.background // len(paths))
        for path in paths
    ]
    visit(running, tally, volume, jobs)
    _compare_background(running, tally, before, len(jobs))
    return None


def _compare_background(running: RunningServer, tally: Tally, before: int, expected: int) -> None:
    """Wait until all background work has reported its end, and compare what it saw."""
    if not wait_until(lambda: len(running.notes("background")) >= before + expected, 60):
        told = len(running.notes("background")) - before
        tally.fail(f"{told} of {expected} in the background told their end")
    for note in running.notes("background")[before:]:
        tally.compare("in the background", note["seen"], note["expected"])


def nothing_stays_on_the_connection(
    running: RunningServer, tally: Tally, volume: Volume
) -> str | None:
    """Check that after each kind of request the next one on the connection sees no tenant."""
    kinds: list[Callable[[Visitor], object]] = [
        lambda visitor: visitor.see("/probe/"),
        lambda visitor: visitor.ask("/fail/", status=500),
        lambda visitor: visitor.run("/execute/", SYNC_CODE),
        lambda visitor: visitor.read("/stream/"),
        lambda visitor: visitor.see("/background/"),
    ]
    if not running.server.greenlets:
        kinds += [
            lambda visitor: visitor.see("/aprobe/"),
            lambda visitor: visitor.run("/aexecute/", ASYNC_CODE),
            lambda visitor: visitor.read("/astream/"),
        ]
    paths = ["/probe/"] if running.server.greenlets else ["/probe/", "/aprobe/"]
    before = len(running.notes("background"))
    visitor = Visitor(running, tally)
    try:
        for number in range(volume.rounds):
            for kind in kinds:
                kind(visitor)
                visitor.see(paths[number % len(paths)], tenant=False)
    finally:
        visitor.close()
    # Before the server ends: a Python that shuts down starts no more threads.
    _compare_background(running, tally, before, volume.rounds)
    return None


def messages_of_a_websocket_keep_its_context(
    running: RunningServer, tally: Tally, volume: Volume
) -> str | None:
    sockets = 4

    def talk(number: int) -> None:
        mine = f"{TENANTS[number % len(TENANTS)]} w{number}"
        headers = {"X-Tenant": mine.split()[0], "X-Request-ID": mine.split()[1]}
        with websockets.sync.client.connect(
            f"ws://127.0.0.1:{running.port}/socket/", additional_headers=headers, proxy=None
        ) as connection:
            for message in range(volume.messages // sockets):
                code = ASYNC_CODE if message % 2 else SYNC_CODE
                inputs = {"secret": f"secret of {mine}", "inputs_search": False}
                tally.count(executions=1)
                connection.send(json.dumps({"code": code, "inputs": inputs}))
                answer = json.loads(connection.recv(timeout=60))
                tally.compare("websocket before", [answer["before"]], None)
                tally.compare("websocket", answer["seen"], mine)
                judge(tally, "websocket", answer["result"], mine)

    with ThreadPoolExecutor(sockets) as pool:
        for future in [pool.submit(talk, number) for number in range(sockets)]:
            future.result()
    return None


def a_reload_leaves_nothing_behind(
    running: RunningServer, tally: Tally, volume: Volume
) -> str | None:
    visitor = Visitor(running, tally)
    visitor.run("/execute/", SYNC_CODE)
    old = json.loads(visitor.ask("/process/") or "{}")
    visitor.close()
    running.touched.write_text("from __future__ import annotations\n\nCHANGED = True\n")

    def another() -> bool:
        return not any(is_running(old[name]) for name in ("pid", "executor") if old[name])

    assert wait_until(another, 60), f"after a reload {old} still run:\n{running.log}"
    assert wait_until(running.answers, 60), f"no answer after a reload:\n{running.log}"
    visitor = Visitor(running, tally)
    visitor.run("/execute/", SYNC_CODE)
    visitor.close()
    return None


# In the order of the table.
CELLS = {
    "own context": Cell(requests_see_their_own_context),
    "JSON view, sync tool": Cell(_runs("/execute/", SYNC_CODE)),
    "JSON view, async tool": Cell(_runs("/execute/", ASYNC_CODE)),
    "async view, sync tool": Cell(_runs("/aexecute/", SYNC_CODE)),
    "async view, async tool": Cell(_runs("/aexecute/", ASYNC_CODE)),
    "sync stream": Cell(_streams("/stream/")),
    "async stream": Cell(_streams("/astream/", "/raw/"), lambda server: not server.greenlets),
    "client leaves": Cell(a_client_that_leaves_ends_the_body, lambda server: server.asgi),
    "background": Cell(background_work_keeps_its_context),
    "websocket": Cell(messages_of_a_websocket_keep_its_context, lambda server: server.asgi),
    "nothing stays": Cell(nothing_stays_on_the_connection),
    "reload": Cell(a_reload_leaves_nothing_behind, lambda server: server.reloads),
}
