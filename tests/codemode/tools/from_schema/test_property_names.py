from __future__ import annotations

import random

import pytest

from codemode.tools.from_schema.property_names import parameter_names


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("owner", "owner"),
        ("_meta", "_meta"),
        ("größe", "größe"),
        ("issue-title", "issue_title"),
        ("zip code", "zip_code"),
        ("$filter", "filter"),
        ("class", "class_"),
        ("2fa", "_2fa"),
        ("a.b", "a_b"),
        ("ﬁle", "file"),
        ("", "value"),
        ("😀", "value"),
    ],
)
def test_a_property_becomes_an_identifier(name: str, parameter: str) -> None:
    assert parameter_names([name]) == {name: parameter}


def test_names_that_collide_get_numbers_whatever_their_order() -> None:
    names = ["a-b", "a b", "a_b", "a_b_2", "class", "class_"]
    wanted = {
        "a_b": "a_b",
        "a_b_2": "a_b_2",
        "a b": "a_b_3",
        "a-b": "a_b_4",
        "class_": "class_",
        "class": "class__2",
    }
    for seed in range(5):
        random.Random(seed).shuffle(names)
        found = parameter_names(names)
        assert found == wanted
        assert list(found) == names
