"""Cassettes: files with recorded runs, from which the tools of a test's runs answer."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from codemode.core._recording.divergence import Departure
from codemode.core._recording.journal import Head
from codemode.core._recording.replay import digest_of
from codemode.core._recording.source import use_source
from codemode.core.recording import RecordedCall, Recording
from codemode.errors import RecordingFormatError, ValueEncodingError
from codemode.testing.cassette_text import RecordedRun, runs_from, text_of
from codemode.testing.drift import diff_of
from codemode.tools import Tool
from codemode.tools.errors import ToolCallRefused
from codemode.values import encode
from codemode.values.shortening import cut, shorten

__all__ = ["Cassette", "CassetteError", "CassetteMode", "CassetteRun", "use_cassette"]

CassetteMode = Literal["replay", "record", "rerecord"]

MODE_VARIABLE = "CODEMODE_CASSETTES"
_MAX_BYTES = 64 * 1024 * 1024
_MOST_LINE = 120
_CHECKED = ("completed", "failed")  # outcomes of calls whose arguments fitted their tool


class CassetteError(AssertionError):
    """A test that does not fit to its cassette; the message has the reason and the fix."""


class CassetteRun(Recording):
    """One run of a cassette, a Recording.

    ``code`` is what was recorded, ``inputs`` a digest of its inputs: "" where it
    had none, and None where the file does not say. ``hidden_tools`` are those that
    the code was not shown, because the permissions of the run did not allow them.
    """

    _any_python = True

    def __init__(
        self,
        cassette: Cassette,
        code: str,
        inputs: str | None,
        known: RecordedRun | None = None,
        number: int = 0,
    ) -> None:
        super().__init__(max_bytes=_MAX_BYTES)
        self.code = code
        self.inputs = inputs
        self.hidden_tools: frozenset[str] = frozenset()
        self._cassette = cassette
        self._recorded = known
        self._number = number
        self._code_now, self._inputs_now = code, inputs
        if known is not None:
            self._journal, self.hidden_tools = known.journal, known.hidden_tools

    def as_recorded(self) -> RecordedRun:
        """Return what a cassette's file has of this run."""
        return RecordedRun(
            code=self.code,
            inputs=self.inputs,
            hidden_tools=self.hidden_tools,
            journal=self._journal,
        )

    def _begin_replay(self, code: str, inputs: str, execution_id: str | None) -> None:
        """Take the code that runs now, and its id, which may be another one each time."""
        self._code_now, self._inputs_now = code, inputs
        head = self._journal.head
        if execution_id is not None and head is not None:
            self._journal.head = replace(head, execution_id=execution_id)

    def _new_head(self, execution_id: str, profile: str, code: bytes) -> Head:
        # The same code draws the same random numbers, so that a new record differs less.
        seed = digest_of(code + b"%d" % self._number) * 2
        return replace(super()._new_head(execution_id, profile, code), seed=seed)

    def _listed(self, tools: Mapping[str, Tool]) -> Mapping[str, Tool] | None:
        if self._recorded is None:
            return None
        self._check_arguments(tools)
        if not self.hidden_tools:
            return tools
        return {name: tool for name, tool in tools.items() if name not in self.hidden_tools}

    def _note_listed(self, tools: Mapping[str, Tool], listed: Mapping[str, Tool]) -> None:
        self.hidden_tools = frozenset(tools.keys() - listed.keys())

    def _check_arguments(self, tools: Mapping[str, Tool]) -> None:
        """Raise CassetteError for a recorded call that a tool of today would refuse."""
        for call in self.calls:
            tool = tools.get(call.name)
            if tool is None or call.outcome not in _CHECKED:
                continue  # the code itself shows whether it misses a tool
            try:
                tool.validate(call.arguments)
            except ToolCallRefused as refusal:
                raise self._cassette.problem(
                    f"the tool {call.name} has changed since {self._cassette} was recorded, and "
                    f"refuses a recorded call: {refusal}"
                ) from None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        __tracebackhide__ = True
        ended = False
        try:
            with super()._turn():
                yield
                ended = True
        finally:
            problem = self.problem()
            if problem is not None:
                error = self._cassette.problem(problem)
                if ended:
                    raise error

    def problem(self) -> str | None:
        """Return what is wrong with the run at its end."""
        done = self._pass
        if done is not None and done.departure is not None:
            return self._drift(done.departure)
        if done is None or not done.ended_by_itself:
            how = "was refused or cancelled"
            if done is not None and done.status:
                how = f"ended with the status {done.status!r}"
            return (
                f"a run {how}, and a cassette has only runs that end by themselves; test it "
                f"without one. Its code begins with {shorten(self._code_now)}"
            )
        return None

    def _drift(self, departure: Departure) -> str:
        done, head = self._pass, self._journal.head
        assert done is not None
        assert head is not None
        at = ""
        if departure.line is not None:
            lines = self._code_now.split("\n")
            source = "".join(lines[departure.line - 1 : departure.line]).strip()
            at = f", line {departure.line}: {cut(source, _MOST_LINE)}"
        runs = len(self._cassette.runs)
        parts = [
            f"the code left {self._cassette}\nrun {self._number} of {runs}{at}",
            diff_of(self.calls, departure) or departure.message,
        ]
        if departure.hint:
            parts.append(departure.hint)
        if self._code_now == self.code:
            parts.append(self._reason())
        if done.python != head.python:
            parts.append(f"It was recorded with Python {head.python}; this is {done.python}.")
        return "\n".join(parts)

    def _reason(self) -> str:
        """Return why the recorded code makes other calls now."""
        if self.inputs is None:
            return "The code is the recorded one: its inputs, its tools or Codemode have changed."
        if self.inputs == self._inputs_now:
            return (
                "The code and its inputs are the recorded ones: its tools or Codemode have changed."
            )
        reason = "The code is the recorded one, and its inputs are not."
        for run in self._cassette.runs:
            if (run.code, run.inputs) == (self._code_now, self._inputs_now):
                reason += (
                    f" Run {run._number} has these inputs, and answers another run of this code, "
                    "whose inputs have changed."
                )
                break
        return reason


class Cassette:
    """The recorded runs of one test, in a file; used by ``use_cassette``.

    ``path`` is the file, ``mode`` what is done with it, and ``runs`` are the
    recorded runs, in the order in which they began. While it is ``recording``, the
    tools run.
    """

    def __init__(self, path: str | os.PathLike[str], mode: CassetteMode, command: str) -> None:
        __tracebackhide__ = True
        self.path = Path(path)
        self.mode: CassetteMode = mode
        self.runs: list[CassetteRun] = []
        self.recording = mode == "rerecord" or (mode == "record" and not self.path.exists())
        self._command = command
        self._problems: list[CassetteError] = []
        self._unused: list[CassetteRun] = []
        self._over = False
        self._lock = threading.Lock()
        if not self.recording:
            self._read()

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """The tool calls of all runs, in their order."""
        return tuple(call for run in self.runs for call in run.calls)

    def recording_for(
        self, code: str, inputs: Mapping[str, Any], execution_id: str | None
    ) -> Recording:
        """Return the recording of a run that begins: a new one, or the one on record.

        That is the first unused one of the same code and inputs, or else of the
        same code, or of the same inputs, or the first unused one.
        """
        inputs_now = _digest_of(inputs)
        with self._lock:
            if self._over:
                raise self._error("a run began after the end of the test, which is not recorded")
            if self.recording:
                number = len(self.runs) + 1
                self.runs.append(CassetteRun(self, code, inputs_now, number=number))
                return self.runs[-1]
            if not self._unused:
                raise self.problem(
                    f"the code ran {len(self.runs) + 1} times, and {self} has {len(self.runs)} "
                    f"runs; the code of the one more begins with {shorten(code)}"
                )
            run = max(  # the first of those that are equally alike
                self._unused, key=lambda run: (run.code == code, run.inputs == inputs_now)
            )
            self._unused.remove(run)
            run._begin_replay(code, inputs_now, execution_id)
            return run

    def problem(self, text: str) -> CassetteError:
        """Note what is wrong, for the end of the test; return it as an error."""
        error = self._error(text)
        self._problems.append(error)
        return error

    @contextlib.contextmanager
    def judged(self) -> Iterator[None]:
        """Check the cassette at the end of the block, and write what was recorded in it.

        A block that raises writes nothing; its exception gets the problems as notes.
        """
        __tracebackhide__ = True
        try:
            yield
        except BaseException as error:
            self._over = True
            for problem in self._problems:
                if problem is not error:
                    error.add_note(str(problem))
            raise
        self._over = True
        if self._unused:
            codes = ", ".join(shorten(run.code) for run in self._unused[:3])
            self.problem(
                f"{len(self._unused)} of {len(self.runs)} runs of {self} were not used; their "
                f"code begins with {codes}"
            )
        for run in self.runs:
            if run not in self._unused and not self._problems and (text := run.problem()):
                self.problem(text)
        if self.recording and not self.runs:
            self.problem("no code ran: there is nothing to record, and no need of a cassette")
        if self._problems:
            raise self._problems[0]
        if self.recording:
            self._write()

    def _read(self) -> None:
        __tracebackhide__ = True
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            raise self._error(f"{self} does not exist") from None
        try:
            if len(data) > _MAX_BYTES:
                raise RecordingFormatError(f"the file has more than {_MAX_BYTES:,} bytes")
            runs = runs_from(data.decode(), _MAX_BYTES)
        except (RecordingFormatError, UnicodeDecodeError) as error:
            raise self._error(f"{self} cannot be read: {error}") from None
        self.runs = [
            CassetteRun(self, run.code, run.inputs, run, number)
            for number, run in enumerate(runs, start=1)
        ]
        self._unused = list(self.runs)

    def _write(self) -> None:
        text = text_of(run.as_recorded() for run in self.runs)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, "utf-8", newline="\n")

    def _error(self, text: str) -> CassetteError:
        if self.recording:
            return CassetteError(text)  # which recording again would not change
        return CassetteError(f"{text}\nTo record it: {self._command}")

    def __str__(self) -> str:
        path = self.path
        with contextlib.suppress(ValueError):
            path = path.absolute().relative_to(Path.cwd())
        return f"the cassette {path}"


@contextlib.contextmanager
def use_cassette(
    path: str | os.PathLike[str], *, mode: CassetteMode | None = None
) -> Iterator[Cassette]:
    """Record all runs of this process in a block, or answer their tool calls from a file.

    The runs of each Codemode and ExecutorClient of the process belong to the
    cassette, whichever thread or task begins them, but for those that a tool
    begins and those with a ``recording`` of their own. ``mode`` is one of:

    * ``"replay"``: the file answers, and no tool, permission or hook runs.
    * ``"record"``: as ``"replay"``, but where there is no file, the tools run and
      the file is written at the end of the block, unless the block raises.
    * ``"rerecord"``: the tools run, and the file is written anew.

    None means the environment variable ``CODEMODE_CASSETTES``, or else
    ``"replay"``. The file holds arguments, values and output as they are: keep
    secrets out of it.

    Raises CassetteError, an AssertionError: from the run whose code leaves the
    record, and again from the block; for runs that are too many or were not
    used; for a file that is missing or cannot be read. Raises RuntimeError
    where another cassette is in use.
    """
    if mode is None:
        mode = _mode_from(os.environ.get(MODE_VARIABLE) or "replay")
    elif mode not in get_args(CassetteMode):
        raise ValueError(f"mode is {mode!r}; expected one of {get_args(CassetteMode)}")
    again = "rerecord" if Path(path).exists() else "record"
    command = f"run the test with {MODE_VARIABLE}={again}, or use_cassette(…, mode={again!r})"
    cassette = Cassette(path, mode, command)
    with use_source(cassette), cassette.judged():
        yield cassette


def _digest_of(inputs: Mapping[str, Any]) -> str:
    """Return a digest of inputs, the same in each process; "" for none, or for unusable ones."""
    if not inputs:
        return ""
    try:
        ordered = dict(sorted(inputs.items()))
        data = encode(ordered, max_bytes=_MAX_BYTES, path="inputs", order_sets=True)
    except (ValueEncodingError, AttributeError, TypeError):
        return ""  # the run itself refuses them
    return digest_of(data).hex()


def _mode_from(text: str) -> CassetteMode:
    for mode in get_args(CassetteMode):
        if text == mode:
            return cast("CassetteMode", mode)
    raise ValueError(f"{MODE_VARIABLE} is {text!r}; expected one of {get_args(CassetteMode)}")
