"""An interpreter of classic BPF, as far as a seccomp filter may use it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Call", "Verdict", "check", "evaluate"]

_DATA = struct.Struct("=iIQ6Q")  # struct seccomp_data


class Call(NamedTuple):
    """The data of one system call that the kernel passes to a filter."""

    number: int
    architecture: int
    arguments: Sequence[int] = ()

    def data(self) -> bytes:
        words = [*self.arguments, *[0] * (6 - len(self.arguments))]
        number = self.number - (1 << 32) if self.number >= 1 << 31 else self.number
        return _DATA.pack(number, self.architecture, 0, *words)


class Verdict(NamedTuple):
    """The answer of a filter, and the number of instructions it took."""

    value: int
    steps: int


def evaluate(program: Sequence[tuple[int, int, int, int]], call: Call) -> Verdict:
    """Run a program. Raises ValueError for an instruction that is none of those it may have."""
    data = call.data()
    accumulator = at = steps = 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        steps += 1
        match code:
            case 0x20:  # load a word of the data
                (accumulator,) = struct.unpack_from("=I", data, constant)
            case 0x54:  # and with the constant
                accumulator &= constant
            case 0x05:  # jump
                at += constant
            case 0x15:  # jump if equal
                at += if_true if accumulator == constant else if_false
            case 0x35:  # jump if at least, unsigned
                at += if_true if accumulator >= constant else if_false
            case 0x06:  # return
                return Verdict(constant, steps)
            case _:
                raise ValueError(f"instruction {at - 1} has code {code:#x}")


def check(program: Sequence[tuple[int, int, int, int]]) -> None:
    """Refuse, by ValueError, what the kernel's own checker refuses."""
    size = len(program)
    if not 0 < size <= 4096 or program[-1][0] != 0x06:
        raise ValueError(f"{size} instructions, the last of code {program[-1][0]:#x}")
    for at, (code, if_true, if_false, constant) in enumerate(program):
        targets: tuple[int, ...] = ()
        match code:
            case 0x20:
                if constant % 4 or constant >= _DATA.size:
                    raise ValueError(f"instruction {at} loads at {constant}")
            case 0x05:
                targets = (constant,)
            case 0x15 | 0x35:
                targets = (if_true, if_false)
            case 0x54 | 0x06:
                pass
            case _:
                raise ValueError(f"instruction {at} has code {code:#x}")
        if any(at + 1 + target >= size for target in targets):
            raise ValueError(f"instruction {at} jumps beyond the end")
        if not (0 <= if_true <= 255 and 0 <= if_false <= 255 and 0 <= constant < 1 << 32):
            raise ValueError(f"instruction {at} has fields that do not fit")
