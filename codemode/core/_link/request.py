"""A client's requests to an executor, as records and as wire messages. Does no IO."""

from __future__ import annotations

import keyword
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from codemode._version import __version__
from codemode.catalogue.help_text import help_texts
from codemode.config import Limits
from codemode.core.context import RuntimeContext, get_current_execution
from codemode.core.hooks import ToolOutcome
from codemode.errors import InvalidRequestError
from codemode.protos import codemode_pb2 as pb
from codemode.tools import Tool
from codemode.values import encode
from codemode.wire.protobuf import PROTOCOL_VERSION, split, take_batch

__all__ = [
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
    the current one, ``profile`` None the client's own.
    """

    code: str = ""
    inputs: Mapping[str, Any] | None = None
    available_tools: Iterable[str] | None = None
    config: Limits | Mapping[str, Any] | None = None
    execution_timeout: float | None = None
    context: RuntimeContext | None = None
    profile: str | None = None


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

    Raises InvalidRequestError for code that is not text, and for names that
    cannot be its variables.
    """

    code: str
    execution_timeout: float
    inputs: Mapping[str, Any] = field(default_factory=dict)
    run_id: int = 1
    execution_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of(cls, options: RunOptions, limits: Limits, run_id: int = 1) -> Self:
        """Return the request for what a caller asks for, within ``limits``."""
        return cls(
            code=options.code,
            inputs=options.inputs or {},
            execution_timeout=limits.execution_timeout,
            run_id=run_id,
        )

    def __post_init__(self) -> None:
        _check_code(self.code)
        _check_inputs(self.inputs)

    def code_bytes(self) -> int:
        """Return the size of the code in UTF-8."""
        return len(self.code.encode())

    def messages(self, limits: Limits) -> tuple[list[pb.ClientMessage], pb.Run]:
        """Return the chunks of the inputs, and the run. Raises ValueEncodingError."""
        data = b""
        if self.inputs:
            data = encode(dict(self.inputs), max_bytes=limits.max_value_bytes, path="inputs")
        chunks, rest = _split(data)
        run = pb.Run(
            run_id=self.run_id,
            code=self.code,
            inputs=rest,
            execution_timeout=self.execution_timeout,
            execution_id=self.execution_id,
        )
        return chunks, run


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """A request for one sandbox: its limits, its tools and its profile.

    The code is shown the tools in ``listed``, which are those that the caller's
    permissions allow. It gets only the names of the other ``tools``, so that a
    call of one comes here and is refused with a clear message.
    """

    limits: Limits
    tools: Mapping[str, Tool]
    listed: Mapping[str, Tool]
    profile: str = "default"
    session: bool = False
    fairness_key: str = ""

    def messages(self, run: RunRequest | None) -> list[pb.ClientMessage]:
        """Return the first messages of a stream; called in the caller's context."""
        outer = get_current_execution()
        opening = pb.Open(
            protocol_version=PROTOCOL_VERSION,
            client_version=__version__,
            profile=self.profile,
            limits=pb.Limits(**{name: getattr(self.limits, name) or 0 for name in _LIMIT_FIELDS}),
            tools=self._specs(),
            session=self.session,
            fairness_key=self.fairness_key,
            queue_timeout=self.limits.queue_timeout or _AT_ONCE,
            idle_timeout=self.limits.idle_timeout,
            accepts_batches=True,
            within_execution_id=outer.execution_id if outer is not None else "",
        )
        chunks: list[pb.ClientMessage] = []
        if run is not None:
            chunks, first_run = run.messages(self.limits)
            opening.run.CopyFrom(first_run)
        return [*chunks, pb.ClientMessage(open=opening)]

    def _specs(self) -> list[pb.ToolSpec]:
        explained = len(self.tools) <= _MOST_EXPLAINED
        return [_spec(tool, name in self.listed, explained) for name, tool in self.tools.items()]

    def deadline(self, run: RunRequest) -> float:
        """Return the seconds after which a run cannot be alive any more.

        The executor keeps its own clocks; this one is for an executor that hangs.
        """
        return self.limits.queue_timeout + run.execution_timeout + _DEADLINE_SLACK


_DEADLINE_SLACK = 30.0
# Each run carries what `help` shows of its tools; of more tools it carries the signatures.
_MOST_EXPLAINED = 64
_AT_ONCE = 1e-3  # zero means the executor's default on the wire


def run_messages(run: RunRequest, limits: Limits) -> list[pb.ClientMessage]:
    """Return the messages of a later run of a session."""
    chunks, message = run.messages(limits)
    return [*chunks, pb.ClientMessage(run=message)]


def result_messages(run_id: int, call_id: int, outcome: ToolOutcome) -> list[pb.ClientMessage]:
    """Return the messages that answer one tool call."""
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


def _spec(tool: Tool, listed: bool, explained: bool) -> pb.ToolSpec:
    if not listed:
        return pb.ToolSpec(name=tool.name, asynchronous=tool.asynchronous, hidden=True)
    texts: dict[str, Any] = help_texts(tool) if explained else {}
    return pb.ToolSpec(
        name=tool.name,
        signature=tool.signature,
        positional_parameters=tool.positional_parameters,
        description=tool.description,
        asynchronous=tool.asynchronous,
        **texts,
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
