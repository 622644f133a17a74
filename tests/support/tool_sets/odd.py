"""Small tools with every kind of type, on which renderings are tried."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NewType, NotRequired, TypedDict

from pydantic import BaseModel, Field

from codemode.tools import Tool, make_tool

__all__ = [
    "CASES",
    "Basket",
    "Money",
    "basket",
    "book",
    "odd",
    "quote",
    "rows",
    "sort",
    "tools_of",
    "unknown",
    "untyped",
]

type Tree = dict[str, Tree | int]
OrderId = NewType("OrderId", int)


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Price(enum.Enum):
    LOW = Decimal(1)
    HIGH = Decimal(2)


@dataclass
class Money:
    amount: Decimal
    currency: str = "EUR"


class Basket(BaseModel):
    lines: tuple[Money, ...]
    size: Size
    above: Basket | None = None


@dataclass
class Wish:
    text: str
    tags: list[str] = field(default_factory=list)


class Row(TypedDict):
    id: int
    note: NotRequired[str]


Odd = TypedDict("Odd", {"class": str, "at-all": int})


def basket(wish: Wish, number: OrderId, *, size: Size = Size.SMALL) -> Basket:
    """Fill a basket."""
    raise NotImplementedError


async def rows(
    day: date, ids: Sequence[int] = (), **more: Annotated[str, Field(max_length=3)]
) -> Mapping[str, frozenset[Row]]:
    """Find the rows.

    Args:
        day: In the shop's own time.
    """
    raise NotImplementedError


def odd(kind: Literal["a", 1], price: Price) -> list[Odd] | None:
    raise NotImplementedError


def untyped(value):  # type: ignore[no-untyped-def]  # the point
    r"""Say \no\thing."""
    return value


def unknown(tree: Tree, other: Path, call: Callable[[int], int]) -> datetime:
    raise NotImplementedError


type Day = date
type Pair[T] = tuple[T, T]


class Booking(TypedDict):
    day: Day
    guests: Annotated[int, "Children included."]
    price: Decimal


class Quote(BaseModel):
    """A record whose keys have notes."""

    total: Decimal = Field(description="With taxes.")
    currency: str = Field(default="EUR", description="The currency.")


async def book(booking: Booking, days: list[Day], seats: Pair[int] = (1, 2)) -> Booking:
    raise NotImplementedError


def quote(
    bookings: dict[str, Booking], until: datetime | None = None, extra: float = 0
) -> frozenset[Day] | Quote:
    r"""Give a "price" with a \\ in it."""
    raise NotImplementedError


def sort(order: Literal["up", "down"] = "up", other: Literal["up", "down"] | None = None) -> Tree:
    raise NotImplementedError


CASES: dict[str, dict[str, object]] = {
    "records": {"basket": basket, "rows": rows},
    "odd keys": {"odd": odd},
    "any": {"untyped": untyped, "unknown": unknown},
    "namespaces": {"orders__list": rows, "orders__lines__int": odd, "orders__dict": unknown},
    "types as names": {"Row": untyped, "date": rows, "Any": unknown},
    "aliases and inputs": {"book": book, "shop__quote": quote, "sort": sort},
    "none": {},
}


def tools_of(**functions: object) -> list[Tool]:
    """Return the records of functions; two underscores in a name stand for a dot."""
    return [make_tool(name.replace("__", "."), one) for name, one in functions.items()]
