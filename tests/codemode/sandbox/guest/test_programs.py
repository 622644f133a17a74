"""Small programs with known answers: the guest is an ordinary Python."""

from __future__ import annotations

from typing import Any

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, tool

PROGRAMS: dict[str, tuple[str, Any]] = {
    "classes": (
        (
            "class Shape:\n    def __init__(self, n): self.n = n\n    def area(self): return self.n ** 2\n"
            "class Cube(Shape):\n    def area(self): return 6 * super().area()\n[s.area() for s in (Shape(2), Cube(2))]"
        ),
        [4, 24],
    ),
    "dataclass": (
        (
            "from dataclasses import dataclass, field, asdict\n@dataclass(order=True, slots=True)\nclass P:\n"
            "    x: int\n    tags: list[str] = field(default_factory=list)\n(P.__module__, asdict(P(1, ['a'])), P(1) < P(2))"
        ),
        ("__main__", {"x": 1, "tags": ["a"]}, True),
    ),
    "dataclass travels": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nP(3)",
        {"x": 3},
    ),
    "enum": (
        (
            "from enum import Enum, Flag, auto\nclass Color(Enum):\n    RED = 'r'\n    BLUE = 'b'\n"
            "class F(Flag):\n    A = auto()\n    B = auto()\n(Color('r').name, Color.BLUE, (F.A | F.B).value)"
        ),
        ("RED", "b", 3),
    ),
    "generators": (
        (
            "def fib():\n    a, b = 0, 1\n    while True:\n        yield a\n        a, b = b, a + b\n"
            "from itertools import islice, takewhile\nlist(takewhile(lambda n: n < 20, fib()))"
        ),
        [0, 1, 1, 2, 3, 5, 8, 13],
    ),
    "async generator": (
        (
            "import asyncio\nasync def ticks(n):\n    for i in range(n):\n        await asyncio.sleep(0)\n        yield i\n"
            "[i * i async for i in ticks(4)]"
        ),
        [0, 1, 4, 9],
    ),
    "contextlib": (
        (
            "from contextlib import contextmanager, suppress, ExitStack\nlog = []\n@contextmanager\ndef step(n):\n"
            "    log.append(f'+{n}')\n    try:\n        yield n\n    finally:\n        log.append(f'-{n}')\n"
            "with suppress(ValueError), step(1), step(2):\n    raise ValueError\nlog"
        ),
        ["+1", "+2", "-2", "-1"],
    ),
    "async context": (
        (
            "from contextlib import asynccontextmanager\n@asynccontextmanager\nasync def thing():\n    yield 5\n"
            "async with thing() as t:\n    result = t"
        ),
        5,
    ),
    "typing": (
        (
            "from typing import NamedTuple, TypedDict, Protocol, get_type_hints\nclass Row(NamedTuple):\n    a: int\n    b: str = 'x'\n"
            "def f(r: 'Row') -> int: ...\n(Row(1), get_type_hints(f)['r'] is Row)"
        ),
        ((1, "x"), True),
    ),
    "generics": (
        "class Box[T]:\n    def __init__(self, v: T): self.v = v\ntype Pair = tuple[int, int]\n(Box[int](4).v, Pair.__name__)",
        (4, "Pair"),
    ),
    "match": (
        (
            "def f(x):\n    match x:\n        case {'kind': 'a', 'n': int(n)} if n > 1: return n\n        case [first, *rest]: return len(rest)\n"
            "        case _: return 'no'\n[f({'kind': 'a', 'n': 2}), f([1, 2, 3]), f('z')]"
        ),
        [2, 2, "no"],
    ),
    "regex": (
        "import re\nre.sub(r'(\\w+)@(\\w+)', lambda m: m[2] + '@' + m[1], 'ann@home bob@work')",
        "home@ann work@bob",
    ),
    "decimal": (
        "from decimal import Decimal, ROUND_HALF_UP\n(Decimal('0.1') * 3, (Decimal('2.675')).quantize(Decimal('.01'), ROUND_HALF_UP))",
        None,
    ),
    "zoneinfo": (
        (
            "from zoneinfo import ZoneInfo\nfrom datetime import datetime\n"
            "datetime(2024, 7, 1, 12, tzinfo=ZoneInfo('Europe/Oslo')).utcoffset().total_seconds()"
        ),
        7200.0,
    ),
    "tempfile": (
        (
            "import tempfile, pathlib\nwith tempfile.TemporaryDirectory() as d:\n    p = pathlib.Path(d, 'x.txt')\n"
            "    p.write_text('hé')\n    result = (p.read_text(), p.stat().st_size)"
        ),
        ("hé", 3),
    ),
    "sqlite": (
        (
            "import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t (a, b)')\n"
            "db.executemany('insert into t values (?, ?)', [(1, 'x'), (2, 'y')])\n"
            "db.execute('select sum(a), group_concat(b) from t').fetchone()"
        ),
        (3, "x,y"),
    ),
    "threads": (
        (
            "import threading, queue\nq = queue.Queue()\nts = [threading.Thread(target=q.put, args=(n,)) for n in range(5)]\n"
            "[t.start() for t in ts]; [t.join() for t in ts]\nsorted(q.get() for _ in range(5))"
        ),
        [0, 1, 2, 3, 4],
    ),
    "futures": (
        (
            "from concurrent.futures import ThreadPoolExecutor, as_completed\nwith ThreadPoolExecutor(4) as pool:\n"
            "    done = sorted(f.result() for f in as_completed([pool.submit(pow, n, 2) for n in range(5)]))\ndone"
        ),
        [0, 1, 4, 9, 16],
    ),
    "pickle of an own class": (
        (
            "import pickle, copy\nclass Thing:\n    def __init__(self): self.v = [1]\n    def __eq__(self, o): return self.v == o.v\n"
            "t = Thing()\n(pickle.loads(pickle.dumps(t)) == t, copy.deepcopy(t) == t)"
        ),
        (True, True),
    ),
    "json": (
        "import json\njson.loads(json.dumps({'a': [1, 2.5, None, True]}, indent=2))",
        {"a": [1, 2.5, None, True]},
    ),
    "csv": (
        "import csv, io\nsum(int(r['n']) for r in csv.DictReader(io.StringIO('n,m\\n1,a\\n2,b\\n')))",
        3,
    ),
    "statistics": (
        "import statistics as s\n(s.mean([1, 2, 3]), s.median([3, 1, 2]), round(s.stdev([1, 2, 3, 4]), 4))",
        (2, 2, 1.291),
    ),
    "collections": (
        (
            "from collections import Counter, defaultdict, deque, ChainMap\nd = defaultdict(list)\n"
            "for k, v in [('a', 1), ('b', 2), ('a', 3)]: d[k].append(v)\n(Counter('abca').most_common(1), d, deque([1, 2], maxlen=1)[0])"
        ),
        ([("a", 2)], {"a": [1, 3], "b": [2]}, 2),
    ),
    "closures and nonlocal": (
        (
            "def counter():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n    return step\n"
            "c = counter()\n[c(), c(), c()]"
        ),
        [1, 2, 3],
    ),
    "comprehension scope": (
        "n = 3\nclass A:\n    m = 2\n    rows = [i * n for i in range(2)]\n(A.rows, [n for n in range(2)], n)",
        ([0, 3], [0, 1], 3),
    ),
    "metaclass and descriptors": (
        (
            "class Meta(type):\n    def __new__(m, name, bases, ns): return super().__new__(m, name, bases, ns | {'tag': name.lower()})\n"
            "class Thing(metaclass=Meta):\n    @property\n    def up(self): return self.tag.upper()\nThing().up"
        ),
        "THING",
    ),
    "lazy imports": (
        (
            "import importlib, fractions, textwrap, hashlib, base64\n"
            "(str(fractions.Fraction(3, 6)), hashlib.sha256(b'').hexdigest()[:8], base64.b64encode(b'hi').decode())"
        ),
        ("1/2", "e3b0c442", "aGk="),
    ),
    "own exceptions and groups": (
        (
            "class A(Exception): pass\ntry:\n    raise ExceptionGroup('g', [A(1), ValueError(2)])\n"
            "except* A as a:\n    got = [e.args[0] for e in a.exceptions]\nexcept* ValueError:\n    got.append('v')\ngot"
        ),
        [1, "v"],
    ),
    "exec and eval": (
        "ns = {}\nexec('def f(x): return x + 1', ns)\n(ns['f'](1), eval('2 * 3'), callable(compile('1', 'x', 'eval').co_code.hex))",
        (2, 6, True),
    ),
    "asyncio primitives": (
        (
            "import asyncio\nasync def worker(q, out):\n    while (n := await q.get()) is not None:\n        out.append(n)\n        q.task_done()\n"
            "q, out = asyncio.Queue(2), []\nasync with asyncio.TaskGroup() as g:\n    g.create_task(worker(q, out))\n"
            "    for n in [1, 2, 3, None]: await q.put(n)\nout"
        ),
        [1, 2, 3],
    ),
    "asyncio shield and lock": (
        (
            "import asyncio\nlock = asyncio.Lock()\nlog = []\nasync def f(n):\n    async with lock:\n        log.append(n)\n        await asyncio.sleep(0)\n"
            "await asyncio.gather(*(asyncio.shield(f(n)) for n in range(3)))\nlog"
        ),
        [0, 1, 2],
    ),
    "random differs and seeds": (
        "import random, uuid\nrandom.seed(1)\na = random.random()\nrandom.seed(1)\n(a == random.random(), uuid.uuid4() != uuid.uuid4())",
        (True, True),
    ),
    "warnings are catchable": (
        "import warnings\nwith warnings.catch_warnings(record=True) as w:\n    warnings.simplefilter('always')\n    warnings.warn('x')\nlen(w)",
        1,
    ),
    "inspect own source": (
        "import inspect\ndef f(x):\n    return x + 1\ninspect.getsource(f)",
        "def f(x):\n    return x + 1\n",
    ),
    "name guard": (
        "def main():\n    global result\n    result = 'ran'\nif __name__ == '__main__':\n    main()",
        "ran",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_gives_its_known_answer(forker: Forker, name: str) -> None:
    code, expected = PROGRAMS[name]
    with Guest(forker, [tool("unused", "unused()")], lambda *_: None) as guest:
        outcome = guest.run(code)
    assert outcome.completed, outcome
    assert outcome.stderr == ""
    if expected is not None:
        assert outcome.value == expected


def test_decimals_are_exact(forker: Forker) -> None:
    with Guest(forker, [], lambda *_: None) as guest:
        value = guest.run(PROGRAMS["decimal"][0]).value
    assert list(map(str, value)) == ["0.3", "2.68"]


def test_random_numbers_differ_between_runs(forker: Forker) -> None:
    def draw() -> Any:
        with Guest(forker, [], lambda *_: None) as guest:
            return guest.run("import random, uuid\n[random.random(), uuid.uuid4()]").value

    first, second = draw(), draw()
    assert first[0] != second[0]
    assert first[1] != second[1]
