"""The place where code runs (thread, database connection, event loop), and the loop's pulse."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

from django.db import connections
from django.db.backends.signals import connection_created

from shop.models import Merchant

__all__ = [
    "Heartbeat",
    "Place",
    "ahere",
    "beating",
    "current_heartbeat",
    "here",
    "leave_no_connection",
    "queries",
]


class Place(NamedTuple):
    """The thread and the connection on which a query ran."""

    thread: int
    connection: int


class Queries:
    """A record of where each query ran, by the text that it looked for."""

    def __init__(self) -> None:
        self.connections: list[Any] = []  # opened while watched
        self._places: dict[str, Place] = {}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        connection_created.connect(self._watch)
        try:
            yield
        finally:
            connection_created.disconnect(self._watch)

    def place(self, text: str) -> Place:
        return self._places.pop(text)

    def _watch(self, connection: Any, **_kwargs: Any) -> None:
        self.connections.append(connection)
        if self._note not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._note)

    def _note(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        place = Place(threading.get_ident(), id(context["connection"]))
        self._places.update(dict.fromkeys(params or (), place))
        return execute(sql, params, many, context)


queries = Queries()


def here() -> Place:
    """Query the database, and return where the query ran."""
    text = uuid.uuid4().hex
    assert not Merchant.objects.filter(slug=text).exists()
    return queries.place(text)


async def ahere() -> Place:
    """Query the database by the asynchronous ORM, and return where the query ran."""
    text = uuid.uuid4().hex
    assert not await Merchant.objects.filter(slug=text).aexists()
    return queries.place(text)


def leave_no_connection() -> None:
    """Close the connections of this thread, which is about to end."""
    connections.close_all()


class Heartbeat:
    """A sign, readable from any thread, of whether an event loop is alive."""

    def __init__(self) -> None:
        self._beats = 0
        self._changed = threading.Condition()

    async def run(self) -> None:
        while True:
            with self._changed:
                self._beats += 1
                self._changed.notify_all()
            await asyncio.sleep(0.005)

    def goes_on(self, seconds: float) -> bool:
        """Wait for two more steps of the loop; return whether they came in time."""
        with self._changed:
            seen = self._beats
            return self._changed.wait_for(lambda: self._beats >= seen + 2, seconds)


current_heartbeat: contextvars.ContextVar[Heartbeat | None] = contextvars.ContextVar(
    "current_heartbeat", default=None
)


@contextlib.asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Give the running loop a heartbeat, and set it in the context."""
    heartbeat = Heartbeat()
    task = asyncio.create_task(heartbeat.run())
    token = current_heartbeat.set(heartbeat)
    try:
        yield
    finally:
        current_heartbeat.reset(token)
        task.cancel()
        await asyncio.wait([task])
