"""The monthly report: a script that a model could have written, run for one merchant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

from codemode import ExecutionResult
from django_codemode import get_codemode

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "monthly_report.py"


class ReportRow(TypedDict):
    """One month in one currency. All amounts are exact."""

    month: str
    currency: str
    orders: int
    turnover: Decimal
    refunded: Decimal
    euros: Decimal


class Report(TypedDict):
    merchant: str
    rows: list[ReportRow]
    total: Decimal


def run_report(merchant: str, year: int) -> ExecutionResult:
    """Run the script for the merchant with this slug; ``value`` is a Report if it completed."""
    codemode = get_codemode()
    with codemode.registry.context(tenant_id=merchant):
        return codemode.run(SCRIPT.read_text("utf-8"), inputs={"year": year})


def render(report: Report) -> Iterator[str]:
    """Yield the lines of a table: months down, currencies across, after refunds."""
    net: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    orders: defaultdict[str, int] = defaultdict(int)
    euros: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in report["rows"]:
        net[row["month"], row["currency"]] += row["turnover"] - row["refunded"]
        orders[row["month"]] += row["orders"]
        euros[row["month"]] += row["euros"]
    currencies = sorted({currency for _, currency in net})

    yield _line("month", "orders", [*currencies, "in euros"])
    for month in sorted(orders):
        amounts = [net[month, currency] for currency in currencies]
        yield _line(month, orders[month], [*amounts, euros[month]])
    sums = [sum((net[month, currency] for month in orders), Decimal()) for currency in currencies]
    yield _line("total", sum(orders.values()), [*sums, report["total"]])


def _line(month: str, orders: object, amounts: list[Any]) -> str:
    texts = [f"{a:,.2f}" if isinstance(a, Decimal) else str(a) for a in amounts]
    return f"{month:<8}{orders:>7}" + "".join(f"{text:>12}" for text in texts)
