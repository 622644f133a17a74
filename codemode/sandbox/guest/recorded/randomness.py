"""The randomness that the code of a recorded run sees: one stream for each of its lines.

All of it is made of the seed in the record, so whoever reads the record knows
it. Passwords and keys are made by tools.
"""

from __future__ import annotations

import hashlib
import operator
import os
import random
import sys
from typing import Any

from codemode.sandbox.guest.recorded.lines import current_line
from codemode.sandbox.guest.recorded.record import Record

__all__ = ["install"]

_blake2b = hashlib.blake2b
_keystream = hashlib.shake_128
_BLOCK = 64
_MAX_PIECE = 1 << 28  # some implementations of the keystream give less than twice as much


def install(record: Record) -> None:
    """Replace the sources of randomness in this process."""
    seed = record.seed
    seed_generator: Any = random.Random.seed

    def urandom(size: int, /) -> bytes:
        """Return random bytes."""
        size = operator.index(size)
        if size < 0:
            raise ValueError("negative argument not allowed")
        if size > sys.maxsize:
            raise OverflowError("Python int too large to convert to C ssize_t")
        line = current_line()
        line.draws += 1
        key = _blake2b(f"{line.label} {line.draws}".encode(), key=seed).digest()
        if size <= _BLOCK:
            return key[:size]
        if size <= _MAX_PIECE:
            return _keystream(key).digest(size)
        pieces = [
            _keystream(key + start.to_bytes(8)).digest(min(_MAX_PIECE, size - start))
            for start in range(0, size, _MAX_PIECE)
        ]
        return b"".join(pieces)

    def getrandom(size: int, flags: int = 0) -> bytes:
        """Return random bytes."""
        return urandom(size)

    def seed_from(self: random.Random, a: Any = None, version: int = 2) -> None:
        """Initialize internal state from a seed, or from the randomness of the run."""
        seed_generator(self, int.from_bytes(urandom(32)) if a is None else a, version)

    os.urandom = urandom
    os.getrandom = getrandom
    setattr(random, "_urandom", urandom)  # noqa: B010  # a private name, for the type checker
    setattr(random.Random, "seed", seed_from)  # noqa: B010  # a method, likewise
    generator: Any = getattr(random, "_inst")  # noqa: B009  # the one behind the functions, likewise
    random.seed = generator.seed
    random.seed()
    uuid: Any = sys.modules.get("uuid")
    if uuid is not None:
        uuid._generate_time_safe = None  # a C function with a clock of its own
        uuid._node = random.getrandbits(48) | 1 << 40  # as it makes one where there is no network
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(int.from_bytes(urandom(4)))
    for name in ("_ssl", "ssl"):  # which asyncio imports, where Python has them
        openssl: Any = sys.modules.get(name)
        if openssl is not None:
            openssl.RAND_bytes = urandom
