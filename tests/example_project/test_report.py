from __future__ import annotations

import re
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, Sum
from django.db.models.functions import TruncMonth

from shop.codemode_tools import RATES
from shop.models import Merchant, Order, Refund
from shop.report import Report, ReportRow, render, run_report
from shop.seed import YEAR

pytestmark = pytest.mark.usefixtures("shop")

README = Path(__file__).resolve().parent.parent.parent / "README.md"
MERCHANTS = ["kiyomizu", "nordlicht", "prairie"]


def aggregate(merchant: str) -> list[ReportRow]:
    """Compute the rows of the report with the ORM alone."""
    orders = Order.objects.filter(merchant__slug=merchant).exclude(status="cancelled")
    groups = (
        orders.annotate(month=TruncMonth("placed_at"))
        .order_by()
        .values("month", "currency")
        .annotate(orders=Count("pk"), turnover=Sum("amount"))
    )
    rows: list[ReportRow] = []
    for group in groups:
        refunded = Refund.objects.filter(
            order__in=orders.filter(
                currency=group["currency"], placed_at__month=group["month"].month
            )
        ).aggregate(total=Sum("amount"))["total"] or Decimal(0)
        rows.append(
            {
                "month": f"{group['month']:%Y-%m}",
                "currency": group["currency"],
                "orders": group["orders"],
                "turnover": group["turnover"],
                "refunded": refunded,
                "euros": (group["turnover"] - refunded) * RATES[group["currency"]],
            }
        )
    return sorted(rows, key=lambda row: (row["month"], row["currency"]))


@pytest.mark.parametrize("merchant", MERCHANTS)
def test_the_report_equals_an_orm_aggregate_to_the_last_digit(merchant: str) -> None:
    result = run_report(merchant, YEAR)

    assert result.status == "completed", result.error
    report: Report = result.value
    expected = aggregate(merchant)
    assert report["rows"] == expected
    assert report["total"] == sum(row["euros"] for row in expected)
    assert report["merchant"] == Merchant.objects.get(slug=merchant).name
    assert {type(row["euros"]) for row in report["rows"]} == {Decimal}


def test_the_report_has_no_row_of_another_merchant() -> None:
    Order.objects.exclude(merchant__slug="prairie").update(currency="XXX", amount="1000000")

    report: Report = run_report("prairie", YEAR).value

    assert sum(row["orders"] for row in report["rows"]) == sum(
        row["orders"] for row in aggregate("prairie")
    )
    assert "XXX" not in {row["currency"] for row in report["rows"]}


def test_the_report_calls_each_rate_once() -> None:
    result = run_report("nordlicht", YEAR)

    calls = [call.name for call in result.tool_calls]
    assert calls.count("get_rate") == len({row["currency"] for row in result.value["rows"]})
    assert calls.count("list_orders") == 210 // 50 + 2
    assert {call.outcome for call in result.tool_calls} == {"completed"}


def test_a_year_without_orders_gives_an_empty_report() -> None:
    report: Report = run_report("nordlicht", YEAR + 1).value

    assert report["rows"] == []
    assert report["total"] == 0
    assert len(list(render(report))) == 2


def test_the_command_prints_the_totals_and_where_the_code_ran() -> None:
    out = StringIO()
    call_command("shop_report", merchant="kiyomizu", stdout=out)

    text = out.getvalue()
    total = sum(row["euros"] for row in aggregate("kiyomizu"))
    assert re.search(rf"^total +\d+ .* {re.escape(f'{total:,.2f}')}$", text, re.MULTILINE), text
    executed = re.search(
        r"executor was process (\d+); Django is process (\d+)\.$", text, re.MULTILINE
    )
    assert executed is not None
    assert executed[1] != executed[2]
    assert "Isolation of the code: " in text


def test_the_readme_shows_what_the_command_prints() -> None:
    out = StringIO()
    call_command("shop_report", stdout=out)

    table, _, rest = out.getvalue().partition("\n\nmonthly_report.py ")
    text = README.read_text("utf-8")
    assert f"```text\n{table}\n\nmonthly_report.py {rest.splitlines()[0]}\n" in text


def test_the_command_names_the_merchants_when_asked_for_another() -> None:
    with pytest.raises(CommandError, match=r"no merchant 'nobody'; there are .*nordlicht"):
        call_command("shop_report", merchant="nobody", stdout=StringIO())


def test_code_sees_only_its_own_merchant_and_no_refund_tool() -> None:
    from django_codemode import get_codemode

    codemode = get_codemode()
    with codemode.registry.context(tenant_id="prairie"):
        found: list[dict[str, Any]] = codemode.run("await find_customers()").value
        refused = codemode.run("refund(order_id=1, amount=1, reason='why not')")

    names = set(Merchant.objects.get(slug="prairie").customers.values_list("name", flat=True))
    assert {row["name"] for row in found} == names
    assert refused.status == "failed"
    assert not Refund.objects.filter(reason="why not").exists()
