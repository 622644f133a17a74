from __future__ import annotations

import pytest

from codemode.catalogue.worth import says_more


@pytest.mark.parametrize(
    ("note", "known"),
    [
        ("The order's id.", ("orders.get", "order_id", "int")),
        ("the id of the order (integer, optional)", ("order_id", "int")),
        ("Return the Customers", ("customer.list", "list[Customer]")),
        ("HTTPStatus", ("http_status",)),
        ("…", ()),
        ("", ()),
        ("Größe", ("größe",)),
    ],
)
def test_names_and_types_say_as_much(note: str, known: tuple[str, ...]) -> None:
    assert not says_more(note, *known)


@pytest.mark.parametrize(
    ("note", "known"),
    [
        ("At most 200.", ("limit", "int")),
        ("In UTC.", ("start", "date")),
        ("订单编号", ("order_id", "int")),
        ("Not the order.", ("order_id", "int")),
    ],
)
def test_a_word_of_its_own_says_more(note: str, known: tuple[str, ...]) -> None:
    assert says_more(note, *known)
