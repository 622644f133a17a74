"""Executions over a websocket, for Django Channels: run, cancel, watch.

Messages are JSON objects. A client sends ``{"type": "run" | "cancel" |
"watch", "id": …, …}``; each answer has the ``id`` of the run or watch it belongs to.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.exceptions import PermissionDenied

from codemode.core.codemode import Codemode
from codemode.core.context import RuntimeContext, use_context
from codemode.core.plain_functions import call_plain
from codemode.errors import ConfigurationError
from django_codemode._requests.execution import Execution, prepare_execution
from django_codemode._requests.origins import origin_is_allowed
from django_codemode._requests.rates import count_execution
from django_codemode._streams.broadcast import Broadcasts, Watch, Watcher, while_permitted
from django_codemode._streams.messages import amessages_of, error_message
from django_codemode._streams.sockets import Line, name_in, own_thread, what_to_watch
from django_codemode.asgi import default_scope_provider, handshake_request
from django_codemode.conf import get_settings
from django_codemode.context import as_context, provide
from django_codemode.payload import check_payload, load_json, refusal_as_json
from django_codemode.permissions import has_permission, reload_user, require_permission
from django_codemode.refusals import RefusalError, not_configured
from django_codemode.shared import get_codemode

__all__ = ["CodemodeConsumer"]

logger = logging.getLogger("django_codemode")

CLOSE_NOT_AUTHENTICATED = 4401
CLOSE_NOT_PERMITTED = 4403
_CLOSE_BINARY = 1003
_CLOSE_TOO_LARGE = 1009
_LAYER_SECONDS = 1.0


class CodemodeConsumer(AsyncWebsocketConsumer):
    """A websocket consumer that executes code and sends its events as they happen.

    Permission is checked on connect and again for each message, with the user
    reloaded from the database. For a watch it is also checked before an event,
    if the last check is at least 2 s ago. Each run has its own context, thread
    for sync code and task. A run ends with the socket, and only the socket's own
    client can slow it down. Hooks are synchronous and may query the database.
    """

    permission_required: str | Collection[str] = "django_codemode.execute_code"
    watch_permission: str | Collection[str] = "django_codemode.watch_code"
    allowed_origins: Sequence[str] | None = None
    max_at_once = 8

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args)
        for key, value in kwargs.items():  # from as_asgi(), as in Django's as_view()
            if not hasattr(type(self), key):
                raise TypeError(
                    f"{type(self).__name__} has no {key!r}; as_asgi() takes the names of its "
                    "attributes, such as allowed_origins"
                )
            setattr(self, key, value)
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by id, as long as the id is in use
        self._unfinished: set[asyncio.Task[None]] = set()
        self._watches: dict[str, Watch] = {}
        self._broadcasts: Broadcasts | None = None
        self._sending = asyncio.Lock()
        self._gone = False

    # Hooks.

    def get_codemode(self) -> Codemode:
        """Return the Codemode that executes. Raises ConfigurationError."""
        return get_codemode()

    def get_user(self) -> Any:
        """Return the socket's user, reloaded from the database, or None."""
        return reload_user(self.scope)

    def check_permission(self, user: Any) -> None:
        """Raise RefusalError unless the user may execute code."""
        require_permission(user, self.permission_required)

    def get_context(self, user: Any) -> Mapping[str, Any]:
        """Return the context for the tools of one message.

        CONTEXT_PROVIDER is called for each message, with the socket's handshake
        and the message's user, unless CodemodeASGIMiddleware has its own provider.
        """
        outer = self.scope.get("codemode_context")
        asked = self.scope.get("codemode_provider") is not None
        if get_settings().context_provider is not None and not asked:
            return provide(handshake_request(self.scope, user))
        if isinstance(outer, RuntimeContext):  # set by CodemodeASGIMiddleware
            return outer.merged(user=user)
        return {**default_scope_provider(dict(self.scope)), "user": user}

    def get_tools(self, user: Any) -> Iterable[str] | None:
        """Return the names of the tools that are offered; None for all."""
        return None

    def get_execution_timeout(self, user: Any) -> float:
        """Return the longest timeout that a run may set, in seconds, which is also the default."""
        return self.get_codemode().client.limits.execution_timeout

    def get_rate_limit(self, user: Any) -> str | None:
        """Return how often the user may execute, such as ``"60/minute"``."""
        return get_settings().rate_limit

    # The socket.

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end_all()  # even when the server or the channel layer has failed

    @property
    def channel_receive(self) -> Callable[[], Awaitable[Any]]:
        """The function that waits for a message of the channel layer, through any failures."""
        return self._receive_from_layer

    @channel_receive.setter
    def channel_receive(self, receive: Callable[[], Awaitable[Any]]) -> None:
        # The base class sets this, and its first failure would end the socket and its runs.
        self._layer_receive = receive

    async def _receive_from_layer(self) -> Any:
        failures = 0
        while True:
            try:
                if failures and self._broadcasts is not None:
                    await self._broadcasts.rejoin()
                return await self._layer_receive()
            except Exception as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # The socket ends, and the layer has replaced the CancelledError.
                    raise asyncio.CancelledError from error
                failures += 1
                if failures == 1:
                    logger.warning("The channel layer has failed, and is tried again: %r", error)
                await asyncio.sleep(_LAYER_SECONDS)

    async def connect(self) -> None:
        """Accept a user who may execute code, from a page of an allowed origin."""
        if not origin_is_allowed(self.scope, self.allowed_origins):
            await self.close()  # before accept: the browser gets 403
            return
        await self.accept()
        try:
            async with own_thread():
                await self._ask(self._check_user)
        except RefusalError as refusal:
            await self._refuse(None, refusal)
            if refusal.status != 401:
                await self.close(CLOSE_NOT_PERMITTED)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Start what a message asks for."""
        if text_data is None:
            await self.close(_CLOSE_BINARY)
            return
        name = None
        try:
            if len(text_data.encode("utf-8", "surrogatepass")) > get_settings().max_request_bytes:
                await self.close(_CLOSE_TOO_LARGE)
                return
            message = load_json(text_data)
            name = name_in(message)
            self._begin(name, message)
        except RefusalError as refusal:
            await self._refuse(name, refusal)
        except ConfigurationError as error:
            await self._refuse(name, not_configured(error))

    async def disconnect(self, code: int) -> None:
        """End every run and every watch."""
        await self._end_all()

    async def codemode_join(self, message: Mapping[str, Any]) -> None:
        """Answer another consumer that wants to watch a run of this one."""
        if self._broadcasts is not None:
            await self._broadcasts.admit(message)

    async def codemode_joined(self, message: Mapping[str, Any]) -> None:
        """Pass a host's answer to the watch that asked for it."""
        if (watch := self._watches.get(message["watch"])) is not None:
            watch.answer(message)

    async def codemode_told(self, message: Mapping[str, Any]) -> None:
        """Pass an event to the watches of its run."""
        for watch in self._watches.values():
            if watch.execution_id == message["execution_id"]:
                watch.offer(message["told"])

    def _begin(self, name: str, message: dict[str, Any]) -> None:
        kind = message.pop("type", None)
        if kind == "cancel":
            self._cancel(name)
            return
        works = {"run": self._run, "watch": self._watch}
        if not isinstance(kind, str) or kind not in works:
            raise RefusalError(
                "unknown_type", f"the type is {kind!r:.100}; expected 'run', 'cancel' or 'watch'"
            )
        if name in self._tasks:
            raise RefusalError("id_in_use", f"something runs under the id {name!r} already")
        if len(self._tasks) >= self.max_at_once:
            raise RefusalError(
                "too_many_at_once",
                f"this socket has {len(self._tasks)} runs and watches, the most at once",
            )
        task = asyncio.create_task(
            self._carry(Line(name, send=self._send, release=self._forget), works[kind], message)
        )
        self._tasks[name] = task
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    def _cancel(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is None:
            raise RefusalError("unknown_id", f"nothing runs under the id {name!r}")
        if not task.cancelling():  # a second cancel would not wait for a sync tool to end
            task.cancel()

    async def _end_all(self) -> None:
        self._gone = True
        for name in self._tasks:
            self._cancel(name)
        if self._unfinished:
            await asyncio.wait(self._unfinished)
        if self._broadcasts is not None:
            broadcasts, self._broadcasts = self._broadcasts, None
            await broadcasts.close()

    async def _carry(
        self,
        line: Line,
        work: Callable[[Line, dict[str, Any]], Awaitable[None]],
        message: dict[str, Any],
    ) -> None:
        """Do what one message asks for, and always report how it ended."""
        refusal = RefusalError("cancelled", "it was cancelled, or its socket was closed")
        try:
            async with own_thread():
                await work(line, message)
            return
        except asyncio.CancelledError:
            pass
        except RefusalError as error:
            refusal = error
        except ConfigurationError as error:  # the run itself has reported one about its inputs
            refusal = not_configured(error)
        except Exception as error:  # noqa: BLE001  # error_message() logs it
            await line.send(error_message(error))
            return
        if line.number or refusal.code == "cancelled":
            await line.send(error_message(refusal))
            await self._let_go(refusal)
        else:
            line.release()
            await self._refuse(line.name, refusal)

    async def _run(self, line: Line, message: dict[str, Any]) -> None:
        watchable = message.pop("watchable", False)
        if not isinstance(watchable, bool):
            raise RefusalError(
                "invalid_watchable", "'watchable' is not a boolean; expected true or false"
            )
        if watchable:
            self._check_layer()
        execution, owner = await self._ask(self._prepare, message)
        with use_context(execution.context):
            async with aclosing(amessages_of(execution.stream())) as messages:
                async for one in messages:
                    if watchable and one.event == "started":
                        if self._broadcasts is None:
                            self._broadcasts = Broadcasts(self.channel_layer, self.channel_name)
                        execution_id = one.data["execution_id"]
                        line.broadcast = await self._broadcasts.open(execution_id, owner)
                    await line.send(one)

    async def _watch(self, line: Line, message: dict[str, Any]) -> None:
        execution_id, after = what_to_watch(message)
        self._check_layer()

        async def permitted() -> Watcher:
            return await self._ask(self._prepare_watcher)

        watcher = await permitted()
        watch = Watch(
            self.channel_layer, self.channel_name, name=line.name, execution_id=execution_id
        )
        self._watches[line.name] = watch
        try:
            async with aclosing(while_permitted(watch, watcher, after, permitted)) as events:
                async for event in events:
                    if isinstance(event, int):
                        await line.pass_on(json.dumps({"type": "gap", "data": {"missed": event}}))
                    else:
                        line.number, text, is_last = event
                        if is_last:
                            line.release()
                        await line.pass_on(text)
        finally:
            if self._watches.get(line.name) is watch:  # the id may be in use again
                del self._watches[line.name]
            others = self._watches.values()
            if all(one.execution_id != execution_id for one in others):
                await watch.leave()  # the whole socket leaves: the group knows no single watch

    def _check_layer(self) -> None:
        if self.channel_layer is None:
            raise RefusalError("not_watchable", "this site has no channel layer: CHANNEL_LAYERS")

    async def _ask[**P, R](self, hooks: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call hooks on the thread for sync code; turn Django's PermissionDenied into a refusal."""
        try:
            return await sync_to_async(hooks)(*args, **kwargs)
        except PermissionDenied as error:
            raise RefusalError("not_permitted", "this is not permitted", status=403) from error

    def _check_user(self) -> Any:
        user = self.get_user()
        call_plain(self.check_permission, user)
        return user

    def _prepare(self, message: dict[str, Any]) -> tuple[Execution, Watcher]:
        user = self._check_user()
        count_execution(f"user {user.pk}", self.get_rate_limit(user))
        context = self._context(user)
        execution = prepare_execution(
            check_payload(message),
            codemode=self.get_codemode(),
            context=context,
            offered=self.get_tools(user),
            longest=self.get_execution_timeout(user),
        )
        return execution, _watcher(user, context)

    def _prepare_watcher(self) -> Watcher:
        user = self._check_user()
        others = has_permission(user, self.watch_permission)
        return _watcher(user, self._context(user), others=others)

    def _context(self, user: Any) -> RuntimeContext:
        return as_context(self.get_context(user), self.get_context)

    async def _refuse(self, name: str | None, refusal: RefusalError) -> None:
        """Send that a message was refused; close the socket if its user is not logged in."""
        data = refusal_as_json(refusal)
        del data["result"]
        await self._send(json.dumps({"type": "refused", "id": name, "data": data}))
        await self._let_go(refusal)

    async def _let_go(self, refusal: RefusalError) -> None:
        if refusal.status == 401:
            await self.close(CLOSE_NOT_AUTHENTICATED)

    def _forget(self, name: str) -> None:
        self._tasks.pop(name, None)

    async def _send(self, text: str) -> None:
        async with self._sending:
            if not self._gone:
                try:
                    await self.send(text_data=text)
                except OSError:
                    self._gone = True  # the consumer receives the disconnect next


def _watcher(user: Any, context: RuntimeContext, *, others: bool = False) -> Watcher:
    tenant = context.get("tenant_id")
    return Watcher(user=str(user.pk), tenant=None if tenant is None else str(tenant), others=others)
