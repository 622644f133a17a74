"""Conversion of values to bytes and back, when memory may run out midway."""

from __future__ import annotations

from typing import Any

from codemode.values import decode, encode

__all__ = ["dump", "load"]


def load(data: bytes) -> Any:
    """Return the value encoded in bytes from the executor. Raises MemoryError."""
    try:
        return decode(data, max_bytes=max(len(data), 1))
    except BaseException as error:
        if _ran_out_of_memory(error):
            raise MemoryError("a value from outside does not fit into the memory limit") from None
        raise


def dump(value: Any, *, max_bytes: int, path: str) -> bytes:
    """Return a value of the code as bytes. Raises ValueEncodingError or MemoryError."""
    try:
        return encode(value, max_bytes=max_bytes, path=path)
    except BaseException as error:
        if _ran_out_of_memory(error):
            raise MemoryError(f"no memory is left to send {path}") from None
        raise


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Return whether lack of memory caused the error.

    cbor2 wraps a MemoryError in an error of its own, or panics, as it is written in Rust.
    """
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "PanicException":
            return True
        error = error.__cause__ or error.__context__
    return False
