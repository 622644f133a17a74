"""The questions that the scripted model knows, each with its code and its way to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from codemode import ExecutionResult

__all__ = ["REPERTOIRE", "Script", "answer_in_words"]

_PROGRAMS = Path(__file__).resolve().parent.parent / "scripts" / "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A question, the files of its programs, and the answer that follows from their result.

    Each program but the first mends the one before it.
    """

    question: str
    files: tuple[str, ...]
    answer: Callable[[ExecutionResult], str]

    @property
    def programs(self) -> list[str]:
        """The programs, read anew each time so that they can be edited while the site runs."""
        return [(_PROGRAMS / name).read_text("utf-8") for name in self.files]


def answer_in_words(script: Script, result: ExecutionResult) -> str:
    """Return the answer to a script's question, as it follows from the result of its code."""
    error = result.error
    if error is None:
        return script.answer(result)
    if error.type == "PermissionDeniedError":
        return (
            f"I could not do that for you: {error.message}. My code acts with your permissions, "
            "and has none of its own."
        )
    return f"I could not do that. {error.type}: {error.message}"


def _turnover(result: ExecutionResult) -> str:
    rows = result.value
    best = max(rows, key=lambda row: row["euros"])
    total = sum((row["euros"] for row in rows), Decimal())
    return (
        f"The shop took {total:,.2f} euros with {sum(row['orders'] for row in rows)} orders, "
        f"after refunds. The best month was {best['month']}, with {best['euros']:,.2f} euros."
    )


def _chart(result: ExecutionResult) -> str:
    lowest, highest = result.value["lowest"], result.value["highest"]
    return (
        f"These are the months of {result.value['year']}, from {lowest:,.2f} to {highest:,.2f} "
        "euros after refunds."
    )


def _customers(result: ExecutionResult) -> str:
    if not result.value:
        return "There is no customer in Germany."
    most = result.value[0]["orders"]
    names = [row["name"] for row in result.value if row["orders"] == most]
    have, each = ("have", " each") if len(names) > 1 else ("has", "")
    return f"{' and '.join(names)} {have} ordered most often: {most} times{each}."


def _refund(result: ExecutionResult) -> str:
    paid = result.value
    return (
        f"{paid['customer']} gets back {paid['amount']} {paid['currency']} of order "
        f"{paid['order_id']}; {paid['left']} {paid['currency']} of it are left."
    )


def _attack(result: ExecutionResult) -> str:
    rows = result.value
    found = [row["tried"] for row in rows if row["found"]]
    outcome = f"found {len(found)} open: {', '.join(found)}" if found else "found nothing"
    return (
        f"I tried {len(rows)} ways into this server, and {outcome}. The code ran in isolation "
        f"tier {result.isolation}."
    )


REPERTOIRE = (
    Script(
        question="How much did we take each month?",
        files=("turnover.py",),
        answer=_turnover,
    ),
    Script(
        question="Draw it as a chart.",
        files=("chart.py",),
        answer=_chart,
    ),
    Script(
        question="Who orders most in Germany?",
        files=("customers.py", "customers_mended.py"),
        answer=_customers,
    ),
    Script(
        question="Pay back 5.00 of the last order.",
        files=("refund.py",),
        answer=_refund,
    ),
    Script(
        question="Read the server's passwords.",
        files=("attack.py",),
        answer=_attack,
    ),
)
