"""Keys that collide in a dict."""

from __future__ import annotations

__all__ = ["PRIME", "colliding_slots"]

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
