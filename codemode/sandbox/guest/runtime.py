"""The guest: the runtime of a sandbox, from its first frame to its last.

The guest takes the tools and limits (OPEN), then code (RUN), executes the code,
and answers with its value or failure. Everything here runs in the same process
as the hostile code. The guards that protect others are therefore outside this
process; the guest only serves the code.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn

from codemode.sandbox.guest.advice.advisor import Advisor
from codemode.sandbox.guest.artifacts import Artifacts
from codemode.sandbox.guest.coding import dump, load
from codemode.sandbox.guest.conveniences import Help, leave
from codemode.sandbox.guest.failure import MEMORY_MESSAGE, ResultError, describe
from codemode.sandbox.guest.figures import is_drawing, send_figures, uses_pyplot
from codemode.sandbox.guest.frame_socket import FrameSocket
from codemode.sandbox.guest.output import Output
from codemode.sandbox.guest.program import Program, filename_of
from codemode.sandbox.guest.progress import Progress
from codemode.sandbox.guest.recorded.record import Record
from codemode.sandbox.guest.recorded.world import begin_recorded
from codemode.sandbox.guest.result_value import encode_result
from codemode.sandbox.guest.scope import RunScope
from codemode.sandbox.guest.tools.calling import Caller, ToolSpec
from codemode.sandbox.guest.tools.importing import ToolImporter
from codemode.sandbox.guest.tools.lazy import LazyTools
from codemode.sandbox.guest.tools.tool_errors import TOOL_ERRORS
from codemode.sandbox.guest.tools.toolbox import Tools
from codemode.sandbox.lockdown.run_limits import MemoryReserve, lower
from codemode.wire.constants import EXIT_NO_MEMORY, MAX_HINT_CHARACTERS, MAX_HINTS
from codemode.wire.frames import Frame, pack, pack_texts, unpack_texts

__all__ = ["Guest"]

# Captured at import: the executed code may replace these functions in their modules.
_exit = os._exit
_sleep = time.sleep
_alarm = signal.alarm
_setrecursionlimit = sys.setrecursionlimit
_settrace = sys.settrace
_setprofile = sys.setprofile

LINGER_SECONDS = 0.2

RECURSION_LIMIT = sys.getrecursionlimit()

# Opened as a session: without one, the process would end after the rehearsed run.
_OPENED = {
    "session": True,
    "tools": [],
    "limits": {
        "value_bytes": 1024,
        "tool_calls_in_flight": 1,
        "tool_call_bytes_in_flight": 1024,
    },
}
_REHEARSED = (
    pack(Frame.OPEN, 0, 0, dump(_OPENED, max_bytes=1024, path="OPEN")),
    pack(Frame.RUN, 1, 0, pack_texts("1 + 1"), dump({}, max_bytes=1024, path="inputs")),
)


class Guest:
    """The parts of one sandbox, wired together.

    The guest is created once in the zygote, whose children share its memory.
    Each child attaches it to a socket. A run then begins sooner, and an idle
    child is small.
    """

    def __init__(self) -> None:
        self._frames = FrameSocket()
        self._scope = RunScope()
        self._output = Output(self._frames, self._scope)
        self._progress = Progress(self._frames, self._output, self._scope)
        self._artifacts = Artifacts(self._frames, self._output, self._scope)
        self._caller = Caller(self._frames, self._output, self._scope)
        self._caller.values.install()
        self._importer = ToolImporter()
        self._program = Program()
        self._tools: Tools
        self._session = False
        self._max_bytes = 0
        self._replay: Mapping[str, Any] | None = None
        self._record: Record | None = None

    def rehearse(self) -> None:
        """Process a stream's first frames and one line of code, and keep nothing of them.

        Pages written to here are already private to this process, so the code
        of a user does not wait for the kernel to copy them.
        """
        self._frames.rehearse(*_REHEARSED)
        _, _, body = self._frames.receive()
        self._reserve = MemoryReserve()
        self._prepare(load(body))
        _, run, body = self._frames.receive()
        self.run(run, 1, body)
        del self._reserve

    def attach(self, sock: socket.socket) -> None:
        """Prepare this process for the code that will arrive on the socket."""
        self._frames.attach(sock)
        self._scope.forget()
        self._output.install()
        self._program.install()
        self._importer.install()
        threading.excepthook = self._report_thread
        # The interpreter calls this for a coroutine that it deletes and nobody has awaited.
        setattr(warnings, "_warn_unawaited_coroutine", self._caller.unfinished.note_deleted)  # noqa: B010

    def serve(self, *, raw_memory_base: int | None = None) -> NoReturn:
        """Serve one stream on the attached socket; end the process with the stream.

        ``raw_memory_base`` is the process's address space in bytes before any
        code ran; None reads it from /proc.
        """
        kind, _, body = self._frames.receive()
        if kind != Frame.OPEN:
            raise RuntimeError(f"the first frame must be OPEN ({Frame.OPEN:d}), not {kind}")
        self._open(load(body), raw_memory_base)
        number = 0
        while True:
            kind, run, body = self._frames.receive()
            if kind == Frame.REPLAY:
                self._replay = load(body)
            elif kind == Frame.RUN:
                number += 1
                try:
                    self.run(run, number, body)
                except MemoryError:
                    # There was no memory left even to send the report.
                    _exit(EXIT_NO_MEMORY)

    def _open(self, opened: Mapping[str, Any], raw_memory_base: int | None) -> None:
        self._reserve = lower(opened["limits"], raw_memory_base=raw_memory_base)
        self._prepare(opened)

    def _prepare(self, opened: Mapping[str, Any]) -> None:
        limits = opened["limits"]
        self._session = opened["session"]
        self._max_bytes = limits["value_bytes"]
        self._frames.set_calls_in_flight(
            limits["tool_calls_in_flight"], limits["tool_call_bytes_in_flight"]
        )
        self._caller.set_max_bytes(limits["value_bytes"])
        self._artifacts.set_limits(limits)
        specs = [ToolSpec(**tool) for tool in opened["tools"]]
        searchable = opened.get("answers_lookups", False)
        many = opened.get("tool_names", "")
        if many:
            self._tools = LazyTools(specs, many, self._caller, searchable=searchable)
        else:
            self._tools = Tools(specs, self._caller, searchable=searchable)
        self._advisor = Advisor(self._tools)
        tools = self._tools.functions() | {"tools": self._tools}
        self._importer.offer(tools)
        names = tools | {"artifact": self._artifacts.give, "progress": self._progress.report}
        fallback: dict[str, Any] = {error.__name__: error for error in TOOL_ERRORS}
        fallback |= {"help": Help(self._tools), "exit": leave, "quit": leave}
        any_plain = bool(many) or not all(spec.asynchronous for spec in specs)
        self._program.define(
            names,
            fallback,
            tools=tools,
            explain=self._advisor.explain_name,
            awaitable=self._caller.values.awaitable if any_plain else None,
            session=self._session,
        )

    def run(self, run: int, number: int, body: bytes) -> None:
        """Execute one run and report how it ended; unless in a session, end the process."""
        self._frames.send(Frame.TAKEN, run, 0)
        filename = filename_of(number)
        out_of_memory = pack(
            Frame.FAILED, run, 0, pack_texts("MemoryLimit", MEMORY_MESSAGE, "", "")
        )
        self._begin(run, filename)
        if self._replay is not None:
            self._begin_recorded(self._replay, run, body)
        try:
            frame = self._execute(run, filename, body)
        except MemoryError:
            frame = out_of_memory
        if self._frames.forked:
            _exit(0)
        self._scope.end()
        if self._session:
            # Before the last frame: a thread that still waits for an answer may also be the
            # reader of the executor's next frame.
            self._frames.end_run(run)
        self._frames.send_packed(frame)
        if not self._session:
            # Meanwhile the executor reads the resource usage of this process, and kills it.
            _sleep(LINGER_SECONDS)
            _exit(0)

    def _begin(self, run: int, filename: str) -> None:
        self._scope.begin(run)
        self._program.context.run(self._scope.begin, run)
        self._output.begin_run()
        self._progress.begin_run()
        self._artifacts.begin_run()
        self._caller.unfinished.begin_run(filename)

    def _begin_recorded(self, replay: Mapping[str, Any], run: int, code: bytes) -> None:
        self._record, calls = begin_recorded(replay, self._frames, run, code)
        unfinished = self._caller.unfinished
        self._record.line_number = unfinished.line
        calls.line_number = lambda: unfinished.begun_on
        self._record.flush = self._output.flush
        self._record.written = lambda: self._output.written
        printing = self._record.printing
        if self._record.has_turns:
            self._output.take_turns(printing)
        else:
            self._record.on_first_line.append(lambda: self._output.take_turns(printing))
        self._artifacts.turns = self._record.files
        self._caller.make_calls_by(calls)

    def _execute(self, run: int, filename: str, body: bytes) -> bytes:
        """Execute the code and return the run's last frame."""
        try:
            (source,), rest = unpack_texts(body, 1)
            inputs = load(bytes(rest)) if rest else {}
            mentioned = self._tools.mentioned(source)
            self._importer.offer_more(mentioned)
            self._program.offer(mentioned)
            value = self._reserve.guard(
                self._program.run, source, filename, inputs, self._max_bytes
            )
            # Inline and first: a tracer that the code installed would trace any function called
            # before these two.
            _settrace(None)
            _setprofile(None)
            self._end_code()
            if uses_pyplot():
                self._finish_figures(wanted=True)
            data = self._reserve.guard(self._encode, value)
            frame = b"".join((*self._hints(run), pack(Frame.COMPLETED, run, 0, data)))
        except BaseException as error:  # noqa: BLE001  # any exception is the code's outcome
            _settrace(None)
            _setprofile(None)
            failed = error  # the name ``error`` ends with this block
            self._end_code(lambda: self._explain_end(run, failed, filename))
            if self._session and uses_pyplot():
                self._finish_figures(wanted=False)
            frame = self._failed(run, error, filename)
        self._progress.flush()
        self._artifacts.end_run()
        self._output.end_run()
        return frame

    def _finish_figures(self, *, wanted: bool) -> None:
        hints = send_figures(self._artifacts, wanted=wanted)
        self._program.hints += self._reserve.guard(list, hints)

    def _encode(self, value: Any) -> bytes:
        """Return the encoded value; a drawing has been sent as a figure, and its value is None."""
        try:
            return encode_result(value, self._max_bytes)
        except ResultError:
            if not (uses_pyplot() and is_drawing(value)):
                raise
            return encode_result(None, self._max_bytes)

    def _failed(self, run: int, error: BaseException, filename: str) -> bytes:
        failure = describe(error, filename, self._advisor.advise(error))
        _, message, *_ = failure
        report = pack(Frame.FAILED, run, 0, pack_texts(*failure))
        return b"".join((*self._hints(run, message), report))

    def _hints(self, run: int, failure: str | None = None) -> Iterator[bytes]:
        """Yield the frames of the hints for the model that wrote the code."""
        unfinished = self._caller.unfinished
        hints = list(islice(unfinished.hints(failure), MAX_HINTS))
        if failure is None and not self._session:
            hints += unfinished.hints_about_variables(self._program.close_unawaited())
        hints += self._program.hints
        for hint in hints[:MAX_HINTS]:
            text = hint[:MAX_HINT_CHARACTERS].encode("utf-8", "replace")
            yield pack(Frame.HINT, run, 0, text)

    def _explain_end(self, run: int, error: BaseException, filename: str) -> None:
        """Send a hint about the error that ended a replay before the end of its record."""
        kind, message, line, _ = describe(error, filename, self._advisor.advise(error))
        place = f" on line {line}" if line else ""
        text = f"the code ended with {kind}{place}: {message}"[:MAX_HINT_CHARACTERS]
        self._frames.send(Frame.HINT, run, 0, text.encode("utf-8", "replace"))

    def _end_code(self, explain: Callable[[], object] | None = None) -> None:
        """Keep an alarm or a recursion limit set by the code from disturbing its report."""
        _alarm(0)
        _setrecursionlimit(RECURSION_LIMIT)
        if self._record is not None:
            self._record.finish(explain)

    def _report_thread(self, args: threading.ExceptHookArgs) -> None:
        """Print the exception that ended a thread of the code, without the guest's frames."""
        error = args.exc_value
        if error is None or issubclass(type(error), SystemExit):
            return
        kind, message, _, text = describe(error, "", self._advisor.advise(error))
        name = args.thread.name if args.thread else "?"
        sys.stderr.write(f"Exception in thread {name}:\n{text or f'{kind}: {message}\n'}")
