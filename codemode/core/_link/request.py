"""A client's requests to an executor, as records and as wire messages. Does no IO."""

from __future__ import annotations

import keyword
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

from codemode._version import __version__
from codemode.config import Limits
from codemode.core._dispatch.listing import Listing
from codemode.core._dispatch.outcomes import WITHHELD
from codemode.core._recording.journal_bytes import EXECUTION_ID
from codemode.core._recording.source import recording_source
from codemode.core.context import RuntimeContext, get_current_execution
from codemode.core.hooks import ToolOutcome
from codemode.core.recorder import Recorder
from codemode.core.recording import Recording
from codemode.errors import InvalidRequestError
from codemode.protos import codemode_pb2 as pb
from codemode.tools import Tool
from codemode.values import encode
from codemode.values.shortening import shorten
from codemode.wire.protobuf import CHUNK_BYTES, PROTOCOL_VERSION, TOOL_NAMES, split, take_batch

__all__ = [
    "Peer",
    "RunOptions",
    "RunRequest",
    "SandboxRequest",
    "limits_from",
    "next_message",
    "result_messages",
    "run_messages",
]

_LIMIT_FIELDS = tuple(field.name for field in pb.Limits.DESCRIPTOR.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a caller asks for: of one run, or of all runs of a session.

    ``available_tools`` None means all, [] none. ``config`` overrides the
    client's limits. ``execution_timeout`` in seconds. ``context`` None means
    the current one, ``profile`` None the client's own. ``recording`` makes it a
    recorded run, whose new calls go through ``recorder``, if there is one.
    ``execution_id`` None means that of the recording, or else a new one.
    """

    code: str = ""
    inputs: Mapping[str, Any] | None = None
    available_tools: Iterable[str] | None = None
    config: Limits | Mapping[str, Any] | None = None
    execution_timeout: float | None = None
    context: RuntimeContext | None = None
    profile: str | None = None
    recording: Recording | None = None
    recorder: Recorder | None = None
    execution_id: str | None = None

    def __post_init__(self) -> None:
        _check_recording(self.recording, self.recorder)

    def with_source(self) -> Self:
        """Return the options of a run that begins, with the recording that is in use for it."""
        source = recording_source()
        if source is None or self.recording is not None or get_current_execution() is not None:
            return self  # what a tool runs is a part of that tool's call
        _check_code(self.code)
        recording = source.recording_for(self.code, self.inputs or {}, self.execution_id)
        return replace(self, recording=recording)


def limits_from(
    base: Limits,
    config: Limits | Mapping[str, Any] | None,
    execution_timeout: float | None,
) -> Limits:
    """Return ``base`` with the wishes of one call on top. Raises ConfigurationError."""
    if isinstance(config, Limits):
        base = config
    elif config:
        base = Limits.parse({**base.model_dump(), **config})
    if execution_timeout is not None:
        base = Limits.parse({**base.model_dump(), "execution_timeout": execution_timeout})
    return base


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A request for one run of code. ``inputs`` become global variables of the code.

    Raises InvalidRequestError for code that is not text, for names that cannot
    be its variables, and for an id that is not printable ASCII.
    """

    code: str
    execution_timeout: float
    inputs: Mapping[str, Any] = field(default_factory=dict)
    run_id: int = 1
    execution_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @classmethod
    def of(cls, options: RunOptions, limits: Limits, run_id: int = 1) -> Self:
        """Return the request for what a caller asks for, within ``limits``."""
        return cls(
            code=options.code,
            inputs=options.inputs or {},
            execution_timeout=limits.execution_timeout,
            run_id=run_id,
            execution_id=_execution_id(options),
        )

    def __post_init__(self) -> None:
        _check_code(self.code)
        _check_inputs(self.inputs)

    def code_bytes(self) -> int:
        """Return the size of the code in UTF-8."""
        return len(self.code.encode())

    def messages(
        self, limits: Limits, *, recorded: bool = False
    ) -> tuple[list[pb.ClientMessage], pb.Run]:
        """Return the chunks of the inputs, and the run. Raises ValueEncodingError."""
        data = b""
        if self.inputs:
            inputs, most = dict(self.inputs), limits.max_value_bytes
            # The code of a recorded run gets its sets in one order, whichever process sends them.
            data = encode(inputs, max_bytes=most, path="inputs", order_sets=recorded)
        chunks, rest = _split(data)
        run = pb.Run(
            run_id=self.run_id,
            code=self.code,
            inputs=rest,
            execution_timeout=self.execution_timeout,
            execution_id=self.execution_id,
        )
        return chunks, run


class Peer:
    """The executors of a connection, as far as the client knows what they accept."""

    def __init__(self, features: Iterable[str] = ()) -> None:
        self.features = frozenset(features)
        """The features that the executor of the latest run announced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """A request for one sandbox: its limits, its tools and its profile.

    The code is shown the ``listed`` tools, which are those that the caller's
    permissions allow. It gets only the names of the other ``tools``, so that a
    call of one comes here and is refused with a clear message. Of many tools
    the sandbox gets the names, and the specs of those that the code mentions.
    """

    limits: Limits
    listing: Listing
    peer: Peer = field(default_factory=Peer)
    profile: str = "default"
    session: bool = False
    fairness_key: str = ""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools that the code may call."""
        return self.listing.tools

    @property
    def listed(self) -> Mapping[str, Tool]:
        """Those that it is shown."""
        return self.listing.listed

    def messages(
        self, run: RunRequest | None, replay: bytes | None = None
    ) -> list[pb.ClientMessage]:
        """Return the first messages of a stream; called in the caller's context.

        ``replay`` is that of a recorded run.
        """
        message = pb.ClientMessage()
        opening = message.open
        self._add_tools(opening, run, recorded=replay is not None)
        opening.protocol_version = PROTOCOL_VERSION
        opening.client_version = __version__
        opening.profile = self.profile
        opening.limits.CopyFrom(_limits_message(self.limits))
        opening.answers_lookups = opening.accepts_batches = opening.accepts_artifacts = True
        opening.session = self.session
        opening.fairness_key = self.fairness_key
        opening.queue_timeout = self.limits.queue_timeout or _AT_ONCE
        opening.idle_timeout = self.limits.idle_timeout
        if (outer := get_current_execution()) is not None:
            opening.within_execution_id = outer.execution_id
        if run is None:
            return [message]
        chunks, first_run = run.messages(self.limits, recorded=replay is not None)
        parts = _add_replay(first_run, replay) if replay is not None else []
        opening.run.CopyFrom(first_run)
        return [*chunks, message, *parts]

    def _add_tools(self, opening: pb.Open, run: RunRequest | None, *, recorded: bool) -> None:
        listing = self.listing
        if len(listing.tools) <= _MOST_SENT:
            opening.CopyFrom(listing.opening)
            return
        specs: Iterable[dict[str, Any]]
        # A recorded run gets the same in each pass, whatever is known of the executor by then: one
        # that records takes names.
        if TOOL_NAMES not in self.peer.features and not recorded:
            specs = (listing.spec(name, explained=False) for name in listing.tools)
        else:
            opening.tool_names = listing.names
            specs = () if run is None else listing.mentioned(run.code)
        opening.tools.extend(pb.ToolSpec(**spec) for spec in specs)

    def deadline(self, run: RunRequest) -> float:
        """Return the seconds after which a run cannot be alive any more.

        The executor keeps its own clocks; this one is for an executor that hangs.
        """
        return self.limits.queue_timeout + run.execution_timeout + _DEADLINE_SLACK


# The number of tools up to which a sandbox gets all their specs. Asking for one takes as long as
# sending some hundred.
_MOST_SENT = 64

_DEADLINE_SLACK = 30.0
_AT_ONCE = 1e-3  # zero means the executor's default on the wire


@lru_cache
def _limits_message(limits: Limits) -> pb.Limits:
    return pb.Limits(**{name: getattr(limits, name) or 0 for name in _LIMIT_FIELDS})


def run_messages(run: RunRequest, limits: Limits) -> list[pb.ClientMessage]:
    """Return the messages of a later run of a session."""
    chunks, message = run.messages(limits)
    return [*chunks, pb.ClientMessage(run=message)]


def result_messages(run_id: int, call_id: int, outcome: ToolOutcome) -> list[pb.ClientMessage]:
    """Return the messages that answer one tool call; none for an outcome that is withheld."""
    if outcome is WITHHELD:
        return []
    failure = outcome.failure
    if failure is not None:
        answer = pb.ToolResult(
            run_id=run_id,
            call_id=call_id,
            failure=pb.ToolFailure(kind=failure.kind, type=failure.type, message=failure.message),
        )
        return [pb.ClientMessage(tool_result=answer)]
    chunks, rest = _split(outcome.value or b"")
    answer = pb.ToolResult(run_id=run_id, call_id=call_id, value=rest)
    return [*chunks, pb.ClientMessage(tool_result=answer)]


def next_message(outgoing: deque[pb.ClientMessage], *, batches: bool) -> pb.ClientMessage:
    """Take the next message to send, or several in one where the executor takes batches."""
    if not batches:
        return outgoing.popleft()
    taken: list[pb.ClientMessage] = take_batch(outgoing)
    if len(taken) == 1:
        return taken[0]
    return pb.ClientMessage(batch=pb.ClientBatch(messages=taken))


def _split(data: bytes) -> tuple[list[pb.ClientMessage], bytes]:
    """Return the chunk messages of a large value, and its last part."""
    chunks, rest = split(data)
    return [pb.ClientMessage(chunk=pb.Chunk(data=chunk)) for chunk in chunks], rest


def _add_replay(run: pb.Run, replay: bytes) -> list[pb.ClientMessage]:
    """Add the beginning of a replay to a run; return the messages with the rest."""
    pieces = [replay[start : start + CHUNK_BYTES] for start in range(0, len(replay), CHUNK_BYTES)]
    run.replay, run.replay_parts = pieces[0], len(pieces) - 1
    return [
        pb.ClientMessage(replay_part=pb.ReplayPart(run_id=run.run_id, data=piece))
        for piece in pieces[1:]
    ]


def _execution_id(options: RunOptions) -> str:
    given, recording = options.execution_id, options.recording
    kept = None if recording is None else recording.execution_id
    if given is None:
        return kept or secrets.token_hex(16)
    if not _is_execution_id(given):
        raise InvalidRequestError(
            f"execution_id is {shorten(given)}; expected 1 to 200 printable ASCII characters"
        )
    if kept is not None and kept != given:
        raise InvalidRequestError(
            f"execution_id is {given!r}, and the recording is of the execution {kept!r}; leave "
            "execution_id out, or use a new Recording"
        )
    return given


def _is_execution_id(given: object) -> bool:
    return isinstance(given, str) and EXECUTION_ID.fullmatch(given) is not None


def _check_recording(recording: Any, recorder: Recorder | None) -> None:
    if recording is not None and not isinstance(recording, Recording):
        raise InvalidRequestError(
            f"recording is {shorten(recording)}; expected a codemode.Recording"
        )
    if recorder is not None and recording is None:
        raise InvalidRequestError(
            "recorder is given without a recording, in which it finds what came before; pass "
            "recording=Recording() as well"
        )
    if recorder is not None:
        for name in ("answer", "perform", "perform_async"):
            if not callable(getattr(recorder, name, None)):
                raise InvalidRequestError(
                    f"the recorder {shorten(recorder)} has no method {name!r}; expected a Recorder"
                )


def _check_code(code: Any) -> None:
    if not isinstance(code, str):
        raise InvalidRequestError(f"code is a {type(code).__name__}; expected a str of Python")
    try:
        code.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"code has a lone surrogate {code[error.start]!r} at {error.start}, which is not "
            'a character; use code.encode("utf-8", "replace").decode()'
        ) from None


def _check_inputs(inputs: Mapping[str, Any]) -> None:
    names: Iterable[Any] = inputs
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise InvalidRequestError(
                f"inputs has the name {name!r}, which cannot be a variable of the code; "
                "expected a Python identifier"
            )
        if name.startswith("__"):
            raise InvalidRequestError(
                f"inputs has the name {name!r}; names with two leading underscores are Python's own"
            )
        if name == "result":
            raise InvalidRequestError(
                "inputs has the name 'result', by which code returns its value; name it differently"
            )
