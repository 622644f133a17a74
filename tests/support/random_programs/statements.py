"""Random statements of random programs."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Statements", "indented", "statement", "sync_statement"]

Statement = Callable[["Statements", int], str]


def indented(text: str) -> str:
    return textwrap.indent(text, "    ")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    weight: float
    of: str
    simple: bool
    shared: bool


_Table = list[tuple[_Entry, Statement]]

_ASYNC: _Table = []
_SYNC: _Table = []


def statement(
    weight: float, of: str = "any", *, simple: bool = False, shared: bool = False
) -> Callable[[Statement], Statement]:
    """Register a statement of async code.

    ``of`` is the kind of programs that have it. Deep inside a program only ``simple`` ones follow.
    Those that use what belongs to all threads are ``shared``, and no thread has them.
    """
    return _registration(_ASYNC, _Entry(weight=weight, of=of, simple=simple, shared=shared))


def sync_statement(
    weight: float, of: str = "any", *, simple: bool = False, shared: bool = False
) -> Callable[[Statement], Statement]:
    """Register a statement of functions that are not async, as ``statement`` does."""
    return _registration(_SYNC, _Entry(weight=weight, of=of, simple=simple, shared=shared))


def _registration(table: _Table, entry: _Entry) -> Callable[[Statement], Statement]:
    def register(make: Statement) -> Statement:
        table.append((entry, make))
        return make

    return register


class Statements:
    """Random statements over the variable ``me``, and the functions that they call.

    A statement is given how many calls of tools it may make, and takes them from ``left``.
    """

    def __init__(self, rng: random.Random, *, races: bool, threads: bool) -> None:
        self.rng = rng
        self.functions: list[str] = []
        self.files = 0
        self._kinds = {"any", *(["races"] if races else []), *(["threads"] if threads else [])}
        self._in_thread = False
        self._names = 0
        self._depth = 0

    def body(self, calls: int) -> str:
        """Return async statements that make about so many calls."""
        return self._several(calls, _ASYNC)

    def sync_body(self, calls: int) -> str:
        return self._several(calls, _SYNC)

    def _several(self, calls: int, table: _Table) -> str:
        self._depth += 1
        allowed = [(make, entry.weight) for entry, make in table if self._allows(entry)]
        makers, weights = [make for make, _ in allowed], [weight for _, weight in allowed]
        texts: list[str] = []
        while calls > 0:
            part = calls if calls < 3 or self.rng.random() < 0.1 else self.rng.randint(1, calls)
            part = min(part, 12)
            (make,) = self.rng.choices(makers, weights)
            texts.append(make(self, part))
            calls -= part
        self._depth -= 1
        return "".join(texts)

    def _allows(self, entry: _Entry) -> bool:
        if self._depth > 4 and not entry.simple:
            return False
        return entry.of in self._kinds and not (self._in_thread and entry.shared)

    def name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}_{self._names}"

    def seconds(self, most: int = 6) -> str:
        """Return a duration of up to so many milliseconds, in steps of a half."""
        return str(self.rng.randint(0, 2 * most) / 2000)

    def pick(self, *texts: str) -> str:
        return self.rng.choice(texts)

    def extra(self) -> str:
        """Return an argument: mostly a number, at times one of the clock, of randomness or of a
        set.
        """
        if self.rng.random() < 0.8:
            return str(self.rng.randint(0, 9))
        return self.pick(
            "time.time()",
            "datetime.datetime.now()",
            "str(datetime.datetime.now(datetime.UTC))",
            "datetime.date.today()",
            "time.perf_counter_ns()",
            "uuid.uuid4()",
            "random.random()",
            "random.Random().randint(0, 10**9)",
            "secrets.token_hex(4)",
            "list({f'word {digest(me)} {n}' for n in range(5)})",
            "[level.get(), time.monotonic()]",
        )

    def async_tool(self) -> str:
        return self.rng.choices(("fetch", "quick", "slow", "bulky"), (12, 4, 3, 0.15))[0]

    def call(self) -> str:
        """Return an awaitable of one call that does not fail."""
        tool = "lookup" if self.rng.random() < 0.15 else self.async_tool()
        return f"{tool}(digest(me), {self.extra()})"

    def branch(self, calls: int, *, fails: bool = False, tail: str = "") -> str:
        """Define an async function that makes calls; return its name."""
        name = self.name("branch")
        failure = f"await flaky(digest(me), {self.extra()})\n" if fails else ""
        body = self.body(max(calls - bool(fails), 1))
        if calls > 1 and self.rng.random() < 0.1:
            end = self.pick("lookup(digest(me))", "await fetch(digest(me), 'end')")
            body = f"try:\n{indented(body)}finally:\n    see(me, {end})\n"
        self.functions.append(
            f"async def {name}(me):\n{indented(body + failure + tail)}    return me[-1]\n"
        )
        return name

    def branch_of_thread(self, calls: int) -> str:
        """Define an async function for the loop of a thread; return its name."""
        outside, self._in_thread = self._in_thread, True
        tail = "see(me, asyncio.current_task().get_name())\n"
        name = self.branch(calls, tail=tail)
        self._in_thread = outside
        return name

    def work(self, calls: int) -> str:
        """Define a function for a thread; return its name."""
        name = self.name("work")
        outside, self._in_thread = self._in_thread, True
        if self.rng.random() < 0.1:
            branch = self.branch(calls)
            body = f"see(me, asyncio.run({branch}([*me])))\n"
        else:
            body = self.sync_body(calls)
        self._in_thread = outside
        self.functions.append(f"def {name}(me):\n{indented(body)}    return me[-1]\n")
        return name

    def split(self, calls: int) -> list[int]:
        """Return the calls of two to four branches."""
        number = min(self.rng.randint(2, 4), max(calls, 2))
        return [max(calls // number, 1)] * number

    def coroutines(self, calls: int, *, fails: bool = False) -> list[str]:
        """Return two to four awaitables, calls of tools or branches."""
        made: list[str] = []
        for number, part in enumerate(self.split(calls)):
            if part == 1 and self.rng.random() < 0.5:
                made.append(f"flaky(digest(me), {number})" if fails else self.call())
            else:
                name = self.branch(part, fails=fails and self.rng.random() < 0.5)
                made.append(f"{name}([*me, {number}])")
        return made

    def tasks(self, calls: int) -> str:
        """Return a list of tasks, as its source."""
        made = [
            f"asyncio.create_task({self.branch(part)}([*me, {number}]))"
            for number, part in enumerate(self.split(calls))
        ]
        return f"[{', '.join(made)}]"
