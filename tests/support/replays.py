"""Random programs that are recorded, interrupted and replayed, and what then must hold."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from codemode import Codemode, ExecutionResult, Recording
from codemode.core.hooks import ToolCall, ToolOutcome
from codemode.core.recorder import EndRun, Recorder
from codemode.core.recording import RecordedCall
from codemode.values import encode
from tests.support.noted_tools import NotedPass, within
from tests.support.random_programs import RandomProgram

__all__ = ["Tally", "Trial", "try_all"]

_PATIENCE = 60.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of many trials."""

    replays: int = 0
    faults: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    """Replays of threads over shared state that made the same calls and had another result."""


class _Holding:
    """A recorder that holds a call, as for an approval, after some others have run."""

    def __init__(self, after: int) -> None:
        self._left = after

    def answer(self, call: ToolCall) -> ToolOutcome | None:
        self._left -= 1
        if self._left < 0:
            raise EndRun("cancelled", "Held", f"{call.name} waits for an approval")
        return None

    def perform(self, call: ToolCall, run: Callable[[], ToolOutcome]) -> ToolOutcome:
        return run()

    async def perform_async(
        self, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]
    ) -> ToolOutcome:
        return await run()


class Trial:
    """A program, the passes of it, and each promise that one of them broke.

    Each pass runs in one of the two halves of the client, at one of the executors, and its tools
    take other times than in the passes before.
    """

    def __init__(self, program: RandomProgram, codemodes: Sequence[Codemode], tally: Tally) -> None:
        self.program = program
        self._codemodes = codemodes
        self._tally = tally
        self._rng = random.Random(program.seed)
        self._serials = itertools.count()
        self._doing = "recorded"
        self._shares = program.kind == "threads_shared"

    async def record(self) -> tuple[Recording, ExecutionResult]:
        """Record a first pass, to its end."""
        recording = Recording()
        result, executed = await self._pass(recording)
        self._expect(result.status == "completed", f"ended as {result.status}: {result.error}")
        self._expect(recording.complete, "the recording is not complete")
        self._well_recorded(recording, executed)
        return recording, result

    async def interrupt(self) -> Recording:
        """Record a first pass that is cancelled at a random time; return what it has recorded."""
        recording = Recording()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rng.random() * 0.1):
                await self._pass(recording, sync=False)
        return recording

    async def hold(self) -> Recording:
        """Record a first pass that ends when it makes a call that is held."""
        recording = Recording()
        await self._pass(recording, recorder=_Holding(self._rng.randint(0, 20)))
        return recording

    async def resume(self, recorded: Recording, after: int) -> tuple[Recording, ExecutionResult]:
        """Continue from a cut; return what was recorded in the end."""
        self._doing = f"resumed after {after} of {len(recorded.calls)}"
        return await self.resume_all(recorded.cut(after=after))

    async def resume_all(self, cut: Recording) -> tuple[Recording, ExecutionResult]:
        """Continue where a recording ends; return what was recorded in the end."""
        self._tally.replays += 1
        recording = Recording.from_bytes(cut.to_bytes())
        known = _with_outcome(recording)
        opened = {one.label: _made(one) for one in recording.calls if one.outcome == "running"}
        result, executed = await self._pass(recording)
        again = [tool for label, tool, _ in executed if label in known]
        self._expect(not again, f"ran again: {again}")
        now = _with_outcome(recording)
        changed = [label for label, call in known.items() if now.get(label) != call]
        self._expect(not changed, f"recorded calls changed: {changed}")
        made = {one.label: _made(one) for one in recording.calls}
        other = [label for label in opened if made.get(label) != opened[label]]
        self._expect(not other, f"held calls changed: {other}")
        if self._shares and result.status == "diverged":
            self._expect(not executed, f"diverged after new calls: {executed}")
            return recording, result
        self._expect(result.status == "completed", f"ended as {result.status}: {result.error}")
        self._expect(recording.complete, "the recording is not complete")
        if 0 < len(known) == len(cut.calls):
            kept = recording.cut(after=len(known)).to_bytes()
            self._expect(kept == cut.cut(after=len(known)).to_bytes(), "the beginning has changed")
        self._well_recorded(recording, executed, known)
        return recording, result

    async def replay(self, recorded: Recording, before: ExecutionResult) -> None:
        """Replay a whole recording: all of it comes again, and no tool runs."""
        self._doing = f"replayed {len(recorded.calls)}"
        self._tally.replays += 1
        recording = Recording.from_bytes(recorded.to_bytes())
        result, executed = await self._pass(recording)
        self._expect(not executed, f"tools ran: {executed}")
        if self._shares:
            self._expect(result.status in ("completed", "diverged"), f"ended as {result.status}")
            self._tally.differing += result.ok and _shown(result) != _shown(before)
            return
        self._expect(result.status == "completed", f"ended as {result.status}: {result.error}")
        self._expect(
            _shown(result) == _shown(before),
            f"other result or output: {_shown(result)!r} instead of {_shown(before)!r}"[:2_000],
        )
        self._expect(recording.to_bytes() == recorded.to_bytes(), "the recording has changed")

    async def whole(self, cuts: int) -> None:
        """Record, resume from random cuts, and replay what was recorded in the end."""
        way = self._rng.random()
        if way < 0.5:
            interrupted = await (self.interrupt() if way < 0.25 else self.hold())
            self._doing = f"resumed after an interruption, with {interrupted!r}"
            recorded, result = await self.resume_all(interrupted)
        else:
            recorded, result = await self.record()
        if not result.ok:
            return
        for _ in range(cuts):
            after = self._rng.randint(0, len(recorded.calls))
            recorded, result = await self.resume(recorded, after)
            if not result.ok:
                return
        await self.replay(recorded, result)

    async def _pass(
        self, recording: Recording, *, sync: bool = True, recorder: Recorder | None = None
    ) -> tuple[ExecutionResult, list[tuple[str | None, str, int]]]:
        codemode = self._rng.choice(self._codemodes)
        code = self.program.code
        options: dict[str, Any] = {"recording": recording, "execution_timeout": _PATIENCE}
        noted = NotedPass(seed=self._rng.getrandbits(32), serials=self._serials)
        with within(noted):
            if recorder is not None:
                options["recorder"] = recorder
                result = await codemode.client.execute_async(code, **options)
            elif sync and self._rng.random() < 0.25:
                result = await asyncio.to_thread(codemode.run, code, **options)
            else:
                result = await codemode.run_async(code, **options)
        if recorder is None:
            self._tally.statuses[result.status] += 1
        return result, noted.executed

    def _well_recorded(
        self,
        recording: Recording,
        executed: list[tuple[str | None, str, int]],
        known: Iterable[str] = (),
    ) -> None:
        """Compare the calls that are new in a recording with the tools that ran."""
        labels = {label for label, _, _ in executed}
        self._expect(len(labels) == len(executed), f"labels are not unique: {executed}")
        for call in recording.calls:
            if call.outcome != "completed":
                continue  # refused by the tool, or given up by the code
            if call.label not in known:
                self._expect(call.label in labels, f"recorded, but no tool ran: {call}")
            if isinstance(call.value, dict):
                of = (call.value["tool"], call.value["key"])
                self._expect(of == (call.name, call.arguments["key"]), f"another answer: {call}")

    def _expect(self, holds: bool, fault: str) -> None:
        if not holds:
            program = self.program
            where = f"{program.kind} {program.seed} ({program.view}, {program.style})"
            self._tally.faults.append(f"{where}, {self._doing}: {fault}")


def _with_outcome(recording: Recording) -> dict[str, object]:
    """Return all that is kept of each call that has an outcome, by label."""
    return {
        call.label: (
            *(call.name, call.encoded_arguments, call.outcome, call.failure, call.encoded_value),
        )
        for call in recording.calls
        if call.outcome != "running"
    }


def _made(call: RecordedCall) -> tuple[str, bytes]:
    """Return which call it is."""
    return call.name, call.encoded_arguments


def _shown(result: ExecutionResult) -> tuple[Any, ...]:
    """Return what a run shows and promises to show again."""
    files = [(one.name, one.data) for one in result.artifacts]
    return encode(result.value), result.stdout, result.stderr, files


async def try_all(
    programs: Iterable[RandomProgram],
    codemodes: Sequence[Codemode],
    *,
    cuts: int,
    at_once: int = 6,
) -> Tally:
    """Try programs, some of them at the same time, until a few faults are found."""
    tally, waiting = Tally(), iter(programs)

    async def one_after_the_other() -> None:
        for program in waiting:
            if len(tally.faults) > 20:
                return
            await Trial(program, codemodes, tally).whole(cuts)

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return tally
