"""Stages of a check: how a stage runs, which failed tests are retried, and the final table.

A failed test is retried once after all stages have run, alone in a separate
process. A test that then passes is *flaky*: it is listed, and the check is green.
A test marked ``no_retry`` is judged by its first run.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NO_RETRY = "no_retry"
MAX_RETRIES = 10
"""Above that the tests are broken, not flaky, and none is tried again."""

_TESTS_FAILED = 1
"""Exit status of pytest when tests ran and some failed."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command that must end with status 0."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    tests: Sequence[str] | None = None
    """What to append to a command of pytest: options and paths; None for any other command."""
    left_out: str = ""
    """Why this machine cannot run it; it is then listed as such, and not red."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A test that failed, and its error."""

    nodeid: str
    error: str
    marks: frozenset[str]
    """Keywords of the test; empty when its worker process died, which reports none."""


@dataclass(kw_only=True)
class Outcome:
    """The outcome of a stage."""

    stage: Stage
    seconds: float
    problem: str = ""
    """Why the stage is red whatever its tests say; empty if it is not."""
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: Sequence[Failure] = ()
    tried_again: list[Failure] = field(default_factory=list)
    flaky: list[Failure] = field(default_factory=list)

    @property
    def red(self) -> bool:
        return bool(self.problem or len(self.failures) > len(self.flaky))


class Report:
    """A report written by pytest-reportlog."""

    def __init__(self, path: Path) -> None:
        self._entries: list[dict[str, Any]] = []
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            try:
                self._entries.append(json.loads(line))
            except ValueError:
                break  # pytest was killed while writing

    def failures(self) -> list[Failure]:
        """Return each test that failed in any of its phases, once."""
        found: dict[str, Failure] = {}
        for entry in self._entries:
            if entry.get("outcome") == "failed":
                nodeid = str(entry["nodeid"])
                marks = frozenset(entry.get("keywords", ()))
                if nodeid in found:
                    marks |= found[nodeid].marks
                found[nodeid] = Failure(nodeid=nodeid, error=_first_line(entry), marks=marks)
        return list(found.values())

    def counts(self) -> dict[str, int]:
        outcomes = {
            name: {entry["nodeid"] for entry in self._entries if self._counts_as(entry, name)}
            for name in ("passed", "failed", "skipped")
        }
        outcomes["passed"] -= outcomes["failed"] | outcomes["skipped"]
        return {name: len(nodeids) for name, nodeids in outcomes.items()}

    def marks(self) -> frozenset[str]:
        return frozenset(key for entry in self._entries for key in entry.get("keywords", ()))

    @staticmethod
    def _counts_as(entry: Mapping[str, Any], outcome: str) -> bool:
        if entry.get("$report_type") != "TestReport" or entry.get("outcome") != outcome:
            return False
        return outcome != "passed" or entry["when"] == "call"


def _first_line(entry: Mapping[str, Any]) -> str:
    """Return the most informative line of a failure."""
    representation = entry.get("longrepr")
    if isinstance(representation, dict) and representation.get("reprcrash"):
        text = str(representation["reprcrash"]["message"])
    else:
        text = str(representation)
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:200]


class Check:
    """Stages that run one after the other, even if earlier stages fail."""

    def __init__(self, reports: Path) -> None:
        self._reports = reports
        reports.mkdir()
        reports.chmod(0o1777)  # stages may run as other users
        self._began = time.monotonic()
        self.outcomes: list[Outcome] = []

    def run(self, stage: Stage) -> Outcome:
        """Run a stage and keep its outcome. The stage's output goes to ours."""
        self._announce(stage.name)
        began = time.monotonic()
        if stage.left_out:
            print(f"LEFT OUT: {stage.left_out}")
            outcome = Outcome(stage=stage, seconds=0)
            self.outcomes.append(outcome)
            return outcome
        report = self._reports / f"report-{len(self.outcomes)}.jsonl"
        if stage.tests is None:
            status = _call(stage, stage.command)
            problem = f"exit status {status}" if status else ""
            outcome = Outcome(stage=stage, seconds=time.monotonic() - began, problem=problem)
        else:
            status = _call(stage, [*stage.command, *stage.tests, f"--report-log={report}"])
            read = Report(report)
            outcome = Outcome(
                stage=stage,
                seconds=time.monotonic() - began,
                counts=read.counts(),
                failures=read.failures(),
            )
            outcome.problem = _problem(status, outcome)
        self.outcomes.append(outcome)
        return outcome

    def try_again(self) -> None:
        """Retry each failed test that may be retried, alone and one at a time."""
        failed = [
            (outcome, failure)
            for outcome in self.outcomes
            if not outcome.problem
            for failure in outcome.failures
            if NO_RETRY not in failure.marks
        ]
        if len(failed) > MAX_RETRIES:
            print(f"\n{len(failed)} tests failed: more than {MAX_RETRIES}, so none is tried again.")
            return
        for number, (outcome, failure) in enumerate(failed):
            self._announce(f"Second try, {outcome.stage.name}: {failure.nodeid}")
            outcome.tried_again.append(failure)
            if self._passes_alone(outcome.stage, failure, self._reports / f"second-{number}.jsonl"):
                outcome.flaky.append(failure)

    def _passes_alone(self, stage: Stage, failure: Failure, report: Path) -> bool:
        options = ["-n0", "-m", "", failure.nodeid, f"--report-log={report}"]
        status = _call(stage, [*stage.command, *options])
        read = Report(report)
        # The marks of a test whose worker died are known only now.
        return not status and read.counts()["passed"] > 0 and NO_RETRY not in read.marks()

    def finish(self) -> int:
        """Print the table and the failures; return the exit status."""
        self._announce("Result")
        print(table(self.outcomes))
        for outcome in self.outcomes:
            if outcome.stage.left_out:
                print(f"\nLEFT OUT  {outcome.stage.name}: {outcome.stage.left_out}")
            if outcome.problem:
                print(f"\nRED    {outcome.stage.name}: {outcome.problem}")
            for failure in outcome.failures:
                print(f"\n{_verdict(outcome, failure)}  {failure.nodeid}")
                print(f"       stage: {outcome.stage.name}\n       error: {failure.error}")
        red = [outcome.stage.name for outcome in self.outcomes if outcome.red]
        left_out = sum(bool(outcome.stage.left_out) for outcome in self.outcomes)
        flaky = sum(len(outcome.flaky) for outcome in self.outcomes)
        print(f"\nRED: {', '.join(red)}" if red else "\nGREEN", end="")
        print(f"; left out on this machine: {left_out}" if left_out else "", end="")
        print(f"; FLAKY tests, to be repaired: {flaky}" if flaky else "")
        return 1 if red else 0

    def _announce(self, what: str) -> None:
        print(f"\n=== {what} (after {time.monotonic() - self._began:.0f} s)", flush=True)


def _verdict(outcome: Outcome, failure: Failure) -> str:
    if failure in outcome.flaky:
        return "FLAKY, passed the second time:"
    if failure in outcome.tried_again:
        return "RED, failed again:"
    return "RED, gets no second try:"


def _call(stage: Stage, command: Sequence[str]) -> int:
    environment = {**os.environ, **stage.environment}
    return subprocess.run(command, cwd=stage.folder, env=environment, check=False).returncode


def _problem(status: int, outcome: Outcome) -> str:
    if status not in (0, _TESTS_FAILED):
        return f"pytest ended with status {status}"
    if status == _TESTS_FAILED and not outcome.failures:
        return "pytest failed, but no test did"
    if status == 0 and outcome.failures:
        return "tests failed, but pytest did not"
    if not outcome.counts.get("passed"):
        return "no test passed"
    return ""


def table(outcomes: Iterable[Outcome]) -> str:
    """Return a Markdown table with a line for each stage."""
    rows: list[tuple[str, ...]] = [("stage", "seconds", "passed", "failed", "flaky", "skipped", "")]
    for outcome in outcomes:
        counts = [str(outcome.counts.get(name, "")) for name in ("passed", "failed", "skipped")]
        flaky = str(len(outcome.flaky)) if outcome.counts else ""
        verdict = "RED" if outcome.red else "left out" if outcome.stage.left_out else "green"
        seconds = f"{outcome.seconds:.0f}"
        rows.append((outcome.stage.name, seconds, *counts[:2], flaky, counts[2], verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
