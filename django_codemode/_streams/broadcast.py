"""A run told to others than its caller, over a channel layer: also to those who come late.

The consumer whose socket runs the code is the host. It alone decides who may
watch, and keeps what it has told, within bounds. A watcher asks the host to
join, gets what it has missed, and from then on what the host sends to the
group. A message that a channel layer drops shows as a gap in the numbers, or
as silence; the watcher asks again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django_codemode.refusals import RefusalError

__all__ = [
    "MAX_EVENT_BYTES",
    "Broadcast",
    "Broadcasts",
    "Told",
    "Watch",
    "Watcher",
    "while_permitted",
]

logger = logging.getLogger("django_codemode")

MAX_EVENT_BYTES = 256 * 1024
MAX_REPLAY_BYTES = 1024 * 1024
KEEP_SECONDS = 60.0
MAX_ENDED = 4
ASK_SECONDS = 3.0
CHECK_AGAIN_SECONDS = 2.0
_QUEUED = 64
_QUESTIONS = 10

# An event on its way: its number, its JSON, and whether it is the last one.
Told = tuple[int, str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Say who runs or wants to watch: a user, of a tenant, who may watch ``others`` there."""

    user: str
    tenant: str | None
    others: bool = False

    def may_watch(self, owner: Watcher) -> bool:
        """Tell whether this one may see what ``owner`` runs: never across tenants."""
        return self.tenant == owner.tenant and (self.others or self.user == owner.user)


class Broadcast:
    """Tell a run to its watchers, and keep the last of it for those who come late."""

    def __init__(self, layer: Any, execution_id: str, owner: Watcher) -> None:
        self.execution_id = execution_id
        self.ended_at: float | None = None
        self._layer = layer
        self._owner = owner
        self._told: deque[Told] = deque()
        self._bytes = 0
        self._watched = False

    async def tell(self, told: Told) -> None:
        """Keep an event and send it to the watchers. Never waits for any of them."""
        self._told.append(told)
        self._bytes += len(told[1])
        while self._bytes > MAX_REPLAY_BYTES and len(self._told) > 1:
            self._bytes -= len(self._told.popleft()[1])
        if told[2]:
            self.ended_at = time.monotonic()
        if self._watched:
            message = {"type": "codemode.told", "execution_id": self.execution_id, "told": told}
            # When it fails, the next events spare themselves the wait: who watches asks again.
            self._watched = await _tried(
                self._layer.group_send(_watchers(self.execution_id), message)
            )

    async def admit(self, message: Mapping[str, Any]) -> None:
        """Answer a watcher that wants to join, or that has missed something."""
        channel, after = message["channel"], message["after"]
        answer = {"type": "codemode.joined", "watch": message["watch"]}
        if not Watcher(**message["watcher"]).may_watch(self._owner):
            await _tried(self._layer.send(channel, {**answer, "allowed": False}))
            return
        if not await _tried(self._layer.group_add(_watchers(self.execution_id), channel)):
            return
        self._watched = True
        told = [one for one in self._told if one[0] > after]
        missed = told[0][0] - after - 1 if told else 0
        answer |= {"allowed": True, "missed": missed, "told": told}
        await _tried(self._layer.send(channel, answer))


class Broadcasts:
    """The broadcasts of one socket, by execution: those that go on, and the last that ended."""

    def __init__(self, layer: Any, channel: str) -> None:
        self._layer = layer
        self._channel = channel
        self._open: dict[str, Broadcast] = {}

    async def open(self, execution_id: str, owner: Watcher) -> Broadcast:
        """Begin one, which watchers can find from now on."""
        await self._tidy()
        self._open[execution_id] = broadcast = Broadcast(self._layer, execution_id, owner)
        await _tried(self._layer.group_add(_host(execution_id), self._channel))
        return broadcast

    async def rejoin(self) -> None:
        """Let watchers find each of them again, after the layer may have forgotten its groups."""
        for execution_id in list(self._open):
            await self._layer.group_add(_host(execution_id), self._channel)

    async def admit(self, message: Mapping[str, Any]) -> None:
        """Answer a watcher of one of them. To the rest, silence says the same as absence."""
        await self._tidy()
        if (broadcast := self._open.get(message["execution_id"])) is not None:
            await broadcast.admit(message)

    async def close(self) -> None:
        """Let nobody find any of them any more."""
        for execution_id in list(self._open):
            await self._drop(execution_id)

    async def _tidy(self) -> None:
        ended = [one for one in self._open.values() if one.ended_at is not None]
        ended.sort(key=lambda one: one.ended_at or 0)
        now = time.monotonic()
        for place, one in enumerate(reversed(ended)):
            if place >= MAX_ENDED or now - (one.ended_at or now) > KEEP_SECONDS:
                await self._drop(one.execution_id)

    async def _drop(self, execution_id: str) -> None:
        del self._open[execution_id]
        await _tried(self._layer.group_discard(_host(execution_id), self._channel))


class Watch:
    """Follow a run that another consumer hosts."""

    def __init__(self, layer: Any, channel: str, *, name: str, execution_id: str) -> None:
        self.execution_id = execution_id
        self._layer = layer
        self._channel = channel
        self._name = name
        self._live: asyncio.Queue[Told] = asyncio.Queue(_QUEUED)
        self._answers: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(1)

    def offer(self, told: Told) -> None:
        """Take an event from the group. One too many is left out, and asked for later."""
        if not self._live.full():
            self._live.put_nowait(told)

    def answer(self, message: Mapping[str, Any]) -> None:
        """Take the host's answer."""
        if not self._answers.full():
            self._answers.put_nowait(message)

    async def follow(self, watcher: Watcher, after: int) -> AsyncGenerator[Told | int, None]:
        """Give each event after number ``after``, in order, until the last one.

        A number in place of an event says how many the host does not have any
        more. Raises RefusalError where there is nothing to watch, or not any more.
        """
        last = after
        unanswered = 0
        found = False
        while True:
            asked = await self._ask(watcher, last)
            answer = await self._answer_in_time()
            if answer is None:
                unanswered += 1
                if asked and not found:
                    raise _nothing()
                if unanswered >= _QUESTIONS:
                    raise _lost()
                continue
            if not answer["allowed"]:
                raise _nothing()
            found, unanswered = True, 0
            if answer["missed"]:
                yield answer["missed"]
            for number, text, is_last in answer["told"]:
                last = number
                yield number, text, is_last
                if is_last:
                    return
            async for told in self._until_a_gap(last):
                last = told[0]
                yield told
                if told[2]:
                    return

    async def leave(self) -> None:
        """Let the group forget this watcher."""
        await _tried(self._layer.group_discard(_watchers(self.execution_id), self._channel))

    async def _until_a_gap(self, last: int) -> AsyncGenerator[Told, None]:
        while True:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    number, text, is_last = await self._live.get()
            except TimeoutError:
                return  # Nothing has happened, or it was lost: only the host knows.
            if number <= last:
                continue  # The answer had it.
            if number != last + 1:
                return
            last = number
            yield number, text, is_last

    async def _ask(self, watcher: Watcher, after: int) -> bool:
        while not self._answers.empty():
            self._answers.get_nowait()  # It came too late for the question before.
        message = {
            "type": "codemode.join",
            "execution_id": self.execution_id,
            "channel": self._channel,
            "watch": self._name,
            "after": after,
            "watcher": {
                "user": watcher.user,
                "tenant": watcher.tenant,
                "others": watcher.others,
            },
        }
        return await _tried(self._layer.group_send(_host(self.execution_id), message))

    async def _answer_in_time(self) -> Mapping[str, Any] | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._answers.get()
        except TimeoutError:
            return None


async def while_permitted(
    watch: Watch, watcher: Watcher, after: int, permitted: Callable[[], Awaitable[Watcher]]
) -> AsyncGenerator[Told | int, None]:
    """Give what ``watch.follow()`` gives, as long as its user may see it.

    Before an event, ``permitted`` is asked again when two seconds have passed
    since; it returns who watches now, or raises RefusalError.
    """
    checked = time.monotonic()
    while True:
        async with aclosing(watch.follow(watcher, after)) as events:
            async for event in events:
                if time.monotonic() - checked >= CHECK_AGAIN_SECONDS:
                    former, watcher = watcher, await permitted()
                    checked = time.monotonic()
                    if watcher != former:
                        break  # The host decides again, from the same event on.
                yield event
                if not isinstance(event, int):
                    after = event[0]
            else:
                return


async def _tried(sending: Awaitable[None]) -> bool:
    """Wait for the channel layer, and tell whether it did its work: runs go on without it."""
    try:
        await sending
    except Exception as error:  # noqa: BLE001  # each layer has errors of its own
        logger.warning("The channel layer has failed: %r", error)
        return False
    return True


def _host(execution_id: str) -> str:
    return f"codemode.host.{execution_id}"


def _watchers(execution_id: str) -> str:
    return f"codemode.watchers.{execution_id}"


def _nothing() -> RefusalError:
    # One code for what is not there and for what is somebody else's.
    return RefusalError(
        "unknown_execution", "there is no such execution that you may watch", status=404
    )


def _lost() -> RefusalError:
    return RefusalError("lost", "whoever ran the execution does not answer any more", status=502)
