"""Eight tools of a web shop, on which renderings for a model are measured and compared.

Their JSON input schemas weigh about 790 tokens (o200k, as ``json.dumps`` writes
them), their stubs without notes about 575. 20 of the 21 arguments have a note.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, TypedDict

from pydantic import Field

from codemode.tools import Tool, make_tool, tool

__all__ = ["shop_tools"]

Status = Literal["open", "paid", "shipped", "cancelled"]


class Line(TypedDict):
    """One position of an order."""

    sku: str
    title: str
    quantity: int
    price: Decimal


class Order(TypedDict):
    """One order."""

    id: int
    customer_id: int
    status: Status
    currency: str
    total: Decimal
    placed_at: datetime
    lines: list[Line]


class Customer(TypedDict):
    """One customer."""

    id: int
    name: str
    email: str
    country: str
    since: date


class Refund(TypedDict):
    """One refund."""

    id: int
    order_id: int
    amount: Decimal
    reason: str
    created_at: datetime


class SalesRow(TypedDict):
    """The sales of one group."""

    group: str
    orders: int
    revenue: Decimal


@tool(name="orders.get", effects="reads")
async def get_order(
    order_id: Annotated[int, Field(description="The id of the order.")],
) -> Order:
    """Return one order with its lines."""
    raise NotImplementedError


@tool(name="orders.search", effects="reads")
async def search_orders(
    status: Annotated[Status | None, Field(description="Only orders in this status.")] = None,
    customer_id: Annotated[int | None, Field(description="Only orders of this customer.")] = None,
    placed_after: Annotated[date | None, Field(description="The first day, in UTC.")] = None,
    limit: Annotated[int, Field(description="At most 200.")] = 50,
) -> list[Order]:
    """Find orders, newest first."""
    raise NotImplementedError


@tool(name="orders.refund", effects="external", permission="shop.add_refund", tags=("money",))
async def refund_order(
    order_id: Annotated[int, Field(description="The id of the order.")],
    amount: Annotated[Decimal, Field(description="At most what is left of the total.")],
    reason: Annotated[
        Literal["damaged", "late", "returned"],
        Field(description="Shown to the customer."),
    ],
    notify: Annotated[bool, Field(description="Send the customer a mail too.")] = True,
) -> Refund:
    """Pay back a part of a paid order."""
    raise NotImplementedError


@tool(name="customers.get", effects="reads")
async def get_customer(
    customer_id: Annotated[int, Field(description="The id of the customer.")],
) -> Customer:
    """Return one customer."""
    raise NotImplementedError


@tool(name="customers.search", effects="reads")
async def search_customers(
    text: Annotated[str, Field(description="A part of the name or of the email address.")],
    country: Annotated[str | None, Field(description="ISO 3166 code, such as DE.")] = None,
    limit: Annotated[int, Field(description="At most 200.")] = 50,
) -> list[Customer]:
    """Find customers by name or email."""
    raise NotImplementedError


@tool(name="mail.send", effects="external", tags=("email", "notify"))
async def send_mail(
    to: Annotated[str, Field(description="One email address.")],
    subject: Annotated[str, Field(description="Without line breaks.")],
    body: Annotated[str, Field(description="Plain text, no HTML.")],
    reply_to: str | None = None,
) -> None:
    """Send a mail from the shop's address."""
    raise NotImplementedError


@tool(name="reports.sales", effects="reads")
def report_sales(
    start: Annotated[date, Field(description="The first day.")],
    end: Annotated[date, Field(description="The last day, included.")],
    group_by: Annotated[
        Literal["day", "month", "country"],
        Field(description="What makes a row."),
    ] = "month",
) -> list[SalesRow]:
    """Sum up the sales of a period."""
    raise NotImplementedError


@tool(name="stock.levels", effects="reads")
def stock_levels(
    skus: Annotated[list[str], Field(description="Up to 100 article numbers.")],
) -> dict[str, int]:
    """Return how many pieces of each article are in stock."""
    raise NotImplementedError


_FUNCTIONS = (
    *(get_order, search_orders, refund_order, get_customer, search_customers),
    *(send_mail, report_sales, stock_levels),
)


def shop_tools() -> list[Tool]:
    """Return the records of the eight tools."""
    return [make_tool(None, one) for one in _FUNCTIONS]
