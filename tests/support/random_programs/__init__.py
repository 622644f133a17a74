"""Random programs in Python, whose calls depend on all that their tasks have seen before.

A program is the same for the same seed. Its tools are those of ``tests.support.noted_tools``. The
arguments of a call are a digest of what the calling task has seen (``local``) or of what all tasks
have seen, in order (``global``): a replay that delivers one answer in another order, or another
answer, makes other calls. A program makes at most some 40 calls, and ends within about a second
when tools take milliseconds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

from tests.support.random_programs import calls, races, structure, threads
from tests.support.random_programs.statements import Statements, indented

_REGISTERED = (calls, races, structure, threads)

__all__ = ["KINDS", "Kind", "RandomProgram", "random_program"]

Kind = Literal["structured", "races", "threads_apart", "threads_shared"]
"""What goes on at the same time: awaited together; in races, with timeouts and cancelled tasks; in
threads that share nothing; in threads that share what they have seen."""

KINDS: tuple[Kind, ...] = get_args(Kind)

View = Literal["local", "global"]

_MAX_CALLS = 36

_PROLOGUE = """\
import asyncio, contextlib, contextvars, datetime, email.utils, hashlib, itertools, logging, os
import queue, random, secrets, tempfile, threading, time, uuid
from concurrent.futures import ThreadPoolExecutor
from random import random as draw

logging.basicConfig(format="%(asctime)s %(threadName)s %(taskName)s %(message)s")

seen_by_all, left = [], []
level = contextvars.ContextVar("level", default=0)


def see(me, what):
    me.append(what)
    seen_by_all.append(what)
    return what


def digest(me):
    return hashlib.blake2b(repr({seen}).encode(), digest_size=6).hexdigest()


def answered(tool, key, answer):
    if (answer["tool"], answer["key"]) != (tool, key):
        raise AssertionError(f"{{tool}}({{key}}) got {{answer}}")
    return answer["serial"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomProgram:
    """The source of a program, and what it was made of."""

    seed: int
    kind: Kind
    view: View
    style: str
    code: str


def random_program(seed: int, kind: Kind | None = None) -> RandomProgram:
    """Return the program of a seed, of the given kind or of any without threads."""
    rng = random.Random(seed)
    if kind is None:
        kind = "structured" if rng.random() < 0.5 else "races"
    view: View = "local" if rng.random() < 0.5 else "global"
    if kind.startswith("threads"):
        view = "local" if kind == "threads_apart" else "global"
    statements = Statements(rng, races=kind != "structured", threads=kind.startswith("threads"))
    if kind.startswith("threads"):
        style = rng.choice(("await", "run"))
    else:
        style = rng.choices(("await", "run", "runner", "plain"), (10, 5, 3, 1))[0]
    body = _whole(statements, style, rng.randint(6, _MAX_CALLS))
    # What threads have seen together has no order that could be promised.
    shown = "me" if kind == "threads_apart" else "seen_by_all"
    prologue = _PROLOGUE.format(seen="me" if view == "local" else "seen_by_all")
    code = "\n\n".join(
        [prologue, *statements.functions, f"{body}print(len({shown}))\nresult = {shown}\n"]
    )
    return RandomProgram(seed=seed, kind=kind, view=view, style=style, code=code)


def _whole(statements: Statements, style: str, calls: int) -> str:
    """Return the part of a program that calls its functions."""
    begin = "me = ['main']\n"
    if style == "await":
        # Code without an await outside functions has no loop.
        return begin + "await asyncio.sleep(0)\n" + statements.body(calls)
    if style == "plain":
        return begin + statements.sync_body(calls)
    if style == "run":
        return begin + _main("main", statements.body(calls)) + "asyncio.run(main(me))\n"
    first, second = statements.body(calls // 2), statements.body(calls - calls // 2)
    return (
        begin
        + _main("first", first)
        + _main("second", second)
        + "with asyncio.Runner() as runner:\n"
        + "    runner.run(first(me))\n"
        + statements.sync_body(1)
        + "asyncio.run(second(me))\n"
    )


def _main(name: str, body: str) -> str:
    return f"async def {name}(me):\n{indented(body)}\n"
