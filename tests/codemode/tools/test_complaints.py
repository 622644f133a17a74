"""A value that fits no member of a union is compared with the nearest one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, Field

from codemode.tools import InvalidArguments, make_tool


@dataclass
class Card:
    number: str
    cvc: int = 0


class Bank(BaseModel):
    iban: str
    names: list[str] = []


class Voucher(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: int


class Address(TypedDict):
    street: str
    city: str
    zip: str
    country: str


class ByCard(BaseModel):
    kind: Literal["card"]
    number: str
    cvc: int
    holder: str


class ByBank(BaseModel):
    kind: Literal["bank"]
    iban: str


class First(BaseModel):
    version: Literal[1]
    to: Address


class Second(BaseModel):
    version: Literal[2]
    to: str


@dataclass
class Parcel:
    to: Address | str
    pay: Card | Bank


@dataclass
class Folder:
    name: str
    parts: dict[str, Folder | int] = field(default_factory=dict)


type Payment = Card | Bank


def everything(
    pay: Card | Bank | None = None,
    pays: list[Card | Bank] | None = None,
    by_day: dict[int, Card | Bank] | None = None,
    payment: Payment | int = 0,
    more: Card | Voucher | str = "",
    to: Address | str = "",
    tagged: ByCard | ByBank | None = None,
    chosen: Annotated[ByCard | ByBank, Field(discriminator="kind")] | None = None,
    numbered: Annotated[First | Second, Field(discriminator="version")] | None = None,
    size: Annotated[int, Field(gt=0)] | Literal["all"] = "all",
    many: list[Card] | Card | None = None,
    parcel: Parcel | Card | None = None,
    folder: Folder | int = 0,
) -> None: ...


EVERYTHING = make_tool("everything", everything)


def complaint(arguments: dict[str, Any]) -> str:
    with pytest.raises(InvalidArguments) as caught:
        EVERYTHING.validate(arguments)
    return str(caught.value).partition(". The signature is")[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(
            {"pay": {"iban": 5}},
            "'pay' must be Card | Bank | None; it is nearest to Bank, but 'pay.iban' must be a "
            "string (str), got 5 (int): write str(...) for it",
            id="a-wrong-field-is-nearer-than-a-missing-one",
        ),
        pytest.param(
            {"tagged": {"kind": "card", "number": "4"}},
            "'tagged' must be ByCard | ByBank | None; it is nearest to ByCard, but "
            "'tagged.cvc' is missing and 'tagged.holder' is missing",
            id="a-tag-says-which-is-meant",
        ),
        pytest.param(
            {"chosen": {"kind": "bank"}}, "'chosen.iban' is missing", id="a-discriminator-decides"
        ),
        pytest.param(
            {
                "numbered": {
                    "version": 1,
                    "to": {"street": "x", "city": 5, "zip": "", "country": ""},
                }
            },
            "'numbered.to.city' must be a string (str), got 5 (int): write str(...) for it",
            id="a-discriminator-is-no-part-of-the-path",
        ),
        pytest.param(
            {"pays": [{"number": "4"}, {"number": "4", "cvc": "x"}]},
            "'pays[1]' must be Card | Bank; it is nearest to Card, but 'pays[1].cvc' must be a "
            "whole number (int), got 'x' (str)",
            id="in-a-list",
        ),
        pytest.param(
            {"by_day": {5: {"number": 4}}},
            "'by_day[5]' must be Card | Bank; it is nearest to Card, but 'by_day[5].number' must "
            "be a string (str), got 4 (int): write str(...) for it",
            id="in-a-dict",
        ),
        pytest.param({"pays": [5]}, "'pays[0]' must be Card | Bank, got 5 (int)", id="no-record"),
        pytest.param(
            {"to": {"city": "Oslo"}},
            "'to' must be Address | str; it is nearest to Address, but 'to.street' is missing and "
            "'to.zip' is missing and 'to.country' is missing",
            id="a-record-or-a-text",
        ),
        pytest.param(
            {"to": {}},
            "'to' must be Address | str; it is nearest to Address, but 'to.street' is missing and "
            "'to.city' is missing and 'to.zip' is missing and 1 more",
            id="many-faults-are-cut",
        ),
        pytest.param(
            {"more": {"code": 1, "note": "x"}},
            "'more' must be Card | Voucher | str; it is nearest to Card, but 'more.number' is "
            "missing",
            id="of-two-as-near-the-first",
        ),
        pytest.param(
            {"payment": {"iban": 5}},
            "'payment' must be Payment | int; it is nearest to Bank, but 'payment.iban' must be a "
            "string (str), got 5 (int): write str(...) for it",
            id="a-named-union",
        ),
        pytest.param(
            {"size": 0},
            "'size' must be int | Literal['all']; it is nearest to int, but 'size' must be "
            "greater than 0, got 0 (int)",
            id="the-right-type",
        ),
        pytest.param(
            {"many": [{}]},
            "'many' must be list[Card] | Card | None; it is nearest to list[Card], but "
            "'many[0].number' is missing",
            id="a-list-or-a-record",
        ),
        pytest.param(
            {"pay": {"Card": {"number": "4"}}},
            "'pay' must be Card | Bank | None; it is nearest to Card, but 'pay.number' is missing",
            id="a-key-with-the-name-of-a-member",
        ),
        pytest.param(
            {"parcel": {"to": "Oslo", "pay": {"iban": 4}}},
            "'parcel' must be Parcel | Card | None; it is nearest to Parcel, but 'parcel.pay' "
            "must be Card | Bank, got {'iban': 4} (dict)",
            id="a-union-within-is-one-fault",
        ),
    ],
)
def test_the_nearest_member_is_named_with_what_is_wrong_in_it(
    arguments: dict[str, Any], text: str
) -> None:
    assert complaint(arguments) == f"argument {text}"


def _nested(key: str) -> Any:
    value: Any = "wrong"
    for _ in range(20):
        value = {"name": "x", "parts": {key: value}}
    return value


@pytest.mark.parametrize(
    "arguments",
    [
        {"folder": _nested("k" * 100_000)},
        {"more": {"code": 1} | dict.fromkeys(map(str, range(300_000)))},
        {"more": {"code": "x"} | {f"{number}" * 10_000: 1 for number in range(20)}},
        {"pays": [{}] * 200_000},
        {"pay": dict.fromkeys(map(str, range(300_000)), "x")},
    ],
)
def test_hostile_values_get_a_short_and_prompt_answer(arguments: dict[str, Any]) -> None:
    began = time.thread_time()
    text = complaint(arguments)
    assert time.thread_time() - began < 2
    assert len(text) < 1_500
