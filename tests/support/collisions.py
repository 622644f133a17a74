"""Keys that collide in a dict."""

from __future__ import annotations

import fractions
from fractions import Fraction
from typing import Any

__all__ = ["PRIME", "cached_hashes", "colliding_slots", "fractions_of_one_hash"]

PRIME = 2**61 - 1


def colliding_slots(bits: int) -> list[int]:
    """Return integers of different hashes that collide in a dict of ``2**bits`` slots.

    The first third are the slots along the cycle on which a search ends. The search for each other
    key passes through many of these slots.
    """
    size = 1 << bits
    mask = size - 1
    slots = [0]
    while len(slots) < size // 3 + 1:
        slots.append((5 * slots[-1] + 1) & mask)
    places = {slot: place for place, slot in enumerate(slots)}
    late = []
    for key in range(size, size << 6):
        slot, perturb = key & mask, key
        while perturb and slot in places:
            perturb >>= 5
            slot = (5 * slot + perturb + 1) & mask
        if not perturb and slot in places:
            late.append((places[slot], key))
    return slots + [key for _, key in sorted(late)[: 2 * size // 3 - len(slots)]]


def cached_hashes() -> Any:
    """Return what the process's cache of the hashes of Fractions holds, and was asked."""
    return vars(fractions)["_hash_algorithm"].cache_info()


def fractions_of_one_hash(first: Fraction) -> list[Fraction]:
    """Return the Fractions of at most 32 bits above and below that have the hash of ``first``.

    Their parts are the points near the origin of a lattice, which Gauss's
    reduction of its base finds.
    """
    ratio = first.numerator * pow(first.denominator, -1, PRIME) % PRIME
    longer, shorter = (PRIME, 0), (ratio, 1)
    while True:
        if longer[0] ** 2 + longer[1] ** 2 < shorter[0] ** 2 + shorter[1] ** 2:
            longer, shorter = shorter, longer
        dot = longer[0] * shorter[0] + longer[1] * shorter[1]
        times = round(Fraction(dot, shorter[0] ** 2 + shorter[1] ** 2))
        if not times:
            break
        longer = (longer[0] - times * shorter[0], longer[1] - times * shorter[1])
    found: set[Fraction] = set()
    for i in range(-8, 9):
        for j in range(-8, 9):
            above, below = (i * one + j * other for one, other in zip(longer, shorter, strict=True))
            if 0 < below < 2**32 > abs(above):
                found.add(Fraction(above, below))
    return [one for one in found if hash(one) == hash(first)]
