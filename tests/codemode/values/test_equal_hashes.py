"""The comparisons that keys cost which pass the check, counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from codemode.errors import ValueDecodingError
from codemode.values.floods import check_dict, check_list, check_set


class Counted:
    """A scalar of a chosen hash that counts how often it is compared."""

    compared: ClassVar[int] = 0
    made: ClassVar[int] = 0

    def __init__(self, chosen: int) -> None:
        self.hash = chosen
        Counted.made += 1

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return self is other


def same(count: int, chosen: int = 1) -> list[Counted]:
    return [Counted(chosen) for _ in range(count)]


def tuples() -> list[Any]:
    shared = same(100)
    return [(*shared, *same(1)) for _ in range(16)]


def deep_tuples() -> list[Any]:
    keys: list[Any] = list(same(16))
    for _ in range(60):
        keys = [(key, Counted(2)) for key in keys]
    return keys


def frozensets(count: int = 8) -> list[Any]:
    shared = [one for chosen in range(5, 50) for one in same(15, chosen)]
    return [frozenset([*shared, *same(1)]) for _ in range(count)]


def nested(levels: int) -> list[Any]:
    members: list[Any] = frozensets(2)
    for _ in range(levels):
        members = [frozenset([*members, *same(1)]) for _ in range(2)]
    return members


@pytest.mark.parametrize(
    "make",
    [
        lambda: [Counted(number) for number in range(1_000)],
        lambda: same(16),
        tuples,
        deep_tuples,
        frozensets,
        lambda: [(key, 1) for key in frozensets()],
    ],
    ids=["different", "one hash", "tuples", "deep", "frozensets", "frozensets in tuples"],
)
def test_what_passes_costs_few_comparisons_for_each_scalar(make: Callable[[], list[Any]]) -> None:
    Counted.made = 0
    keys = make()
    Counted.compared = 0
    check_set(keys)
    check_dict(keys)
    assert not Counted.compared  # by the check itself
    assert len(set(keys)) == len(keys)
    assert Counted.compared <= 100 * Counted.made


@pytest.mark.parametrize(
    "make",
    [
        lambda: same(17),
        lambda: [(one,) for one in same(17)],
        lambda: frozensets(9),
        lambda: [(key, 1) for key in frozensets(9)],
        lambda: nested(1),
        lambda: nested(4),
        lambda: [((1, key),) for key in nested(2)],
    ],
    ids=["scalars", "tuples", "frozensets", "in tuples", "in frozensets", "deeper", "both"],
)
@pytest.mark.parametrize(
    "check", [check_set, check_dict, lambda keys: check_list(keys, every_kind=True)]
)
def test_what_would_cost_more_is_refused_without_a_comparison(
    check: Callable[[Any], None], make: Callable[[], list[Any]]
) -> None:
    keys = make()
    Counted.compared = 0
    with pytest.raises(ValueDecodingError, match="chosen to collide"):
        check(keys)
    assert not Counted.compared


def test_each_part_of_a_key_is_looked_at_a_bounded_number_of_times() -> None:
    hashed = 0

    class Part:
        def __hash__(self) -> int:
            nonlocal hashed
            hashed += 1
            return 5

    key: Any = tuple(Part() for _ in range(100))
    for _ in range(60):
        key = (frozenset({key}),)
    hashed = 0
    check_set([key, 1])
    # A frozenset keeps its hash, and the check does not go into it.
    assert hashed == 0
