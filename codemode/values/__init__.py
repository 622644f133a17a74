"""Lossless values on the wire, bounded in size and depth.

These travel exactly, with type and value: ``int``, ``float`` (nan, inf and -0.0
included), ``complex``, ``str``, ``bytes``, ``None``, ``bool``, ``list``,
``tuple``, ``dict`` (order kept), ``set``, ``frozenset``, ``Fraction``,
``Decimal`` (special values, signed zero and trailing zeros included),
``datetime`` and ``time`` (naive; aware with the key of their ``ZoneInfo`` or
with their fixed offset; fold kept), ``date``, ``timedelta``, ``UUID``. Keys and
members are scalars of this list, and tuples and frozensets of such.

These travel as something simpler:

==============================================  ==============================
namedtuple                                      tuple
range                                           list
path                                            str
array, table, scalar of numpy, pandas, polars   native values
Enum member                                     its value
dataclass, pydantic model                       dict (``model_dump()``)
subclass of one of the exact types              its base
bytearray, memoryview                           bytes
lazy string of Django                           str
other tzinfo, name of a ``timezone``            the fixed offset at that moment
==============================================  ==============================

Everything else is refused, and so is a dict or set whose keys become equal
when they are converted (``Color.RED`` and ``"red"``). The error names the path
to the value and says what to write instead. Other packages add their own types
with ``register_converter``.

The bytes are CBOR (RFC 8949) with definite lengths. They use the tags 2 and 3
(bignums), 30 (rational number), 37 (UUID), 1004 (date, RFC 8943), 43000
(complex number) and the following tags of our own, which are unassigned in the
registry's first-come-first-served range (RFC 8949 §9.2):

=====  =========  ==========================================================
49374  dict       array key, value, key, value, …; when a key is not text or
                  bytes
49375  set        array of its members
49376  Decimal    text as ``str`` returns it
49377  datetime   ISO 8601 text; or array of that text, the zone as far as it
                  is not in the text (key, offset in microseconds, null), fold
49378  time       like datetime
49379  timedelta  array of days, seconds, microseconds
49380  tuple      array of its items
49381  frozenset  array of its members
=====  =========  ==========================================================

``decode`` accepts untrusted bytes. Whatever they contain, it needs time and
memory in proportion to their length, or refuses them. It refuses every other
tag, indefinite lengths, simple values except false, true and null, duplicate
keys, trailing bytes, more than ``MAX_ITEMS`` items, numbers beyond ``MAX_INT_BITS``,
``MAX_FRACTION_BITS``, ``MAX_DECIMAL_DIGITS`` and ``MAX_DECIMAL_EXPONENT``, and
keys chosen so that their hashes collide or that comparing them is slow.
"""

from __future__ import annotations

from codemode.values.convert import register_converter
from codemode.values.decoding import decode
from codemode.values.encoding import encode
from codemode.values.text import to_text
from codemode.values.wire_format import (
    MAX_BYTES,
    MAX_DECIMAL_DIGITS,
    MAX_DECIMAL_EXPONENT,
    MAX_DEPTH,
    MAX_FRACTION_BITS,
    MAX_INT_BITS,
    MAX_ITEMS,
)

__all__ = [
    "MAX_BYTES",
    "MAX_DECIMAL_DIGITS",
    "MAX_DECIMAL_EXPONENT",
    "MAX_DEPTH",
    "MAX_FRACTION_BITS",
    "MAX_INT_BITS",
    "MAX_ITEMS",
    "decode",
    "encode",
    "register_converter",
    "to_text",
]
