"""The language itself."""

from __future__ import annotations

from tests.codemode.sandbox.corpus.program import Program

__all__ = ["PROGRAMS"]

PROGRAMS = (
    Program("last expression", "x = 20\nx * 2 + 2", 42),
    Program("result variable", "result = 'r'\n'ignored'", "r"),
    Program(
        "arithmetic",
        "[7 // 2, -7 // 2, 7 % 3, 2**100, divmod(17, 5)]",
        [3, -4, 1, 2**100, (3, 2)],
    ),
    Program("big integers", "import math\nlen(str(math.factorial(1000)))", 2568),
    Program("floats", "[0.1 + 0.2, round(2.5), 1e308 * 10 == float('inf')]", [0.1 + 0.2, 2, True]),
    Program("complex numbers", "z = 3 + 4j\n[abs(z), (z * z).real]", [5.0, -7.0]),
    Program("strings", "'ß'.upper() + 'abc'[::-1] + 'x'.rjust(3, '.')", "SScba..x"),
    Program(
        "format",
        "f'{3.14159:.2f}|{255:#x}|{\"a\":>3}|{1234567:,}|{5=}'",
        "3.14|0xff|  a|1,234,567|5=5",
    ),
    Program(
        "bytes", "b = bytearray(b'abc')\nb[0] = 65\nbytes(b) + bytes([0, 255])", b"Abc\x00\xff"
    ),
    Program("slices", "a = list(range(10))\na[2:8:2] = ['x'] * 3\na[::-3]", [9, "x", 3, 0]),
    Program(
        "comprehensions",
        "{k: [v for v in range(k) if v % 2] for k in range(4)}",
        {0: [], 1: [], 2: [1], 3: [1]},
    ),
    Program("sets", "sorted({1, 2, 3} ^ {3, 4} | frozenset({9}))", [1, 2, 4, 9]),
    Program(
        "unpacking",
        "a, *b, c = range(5)\nd = {**{'x': 1}, 'y': 2}\n[a, b, c, d]",
        [0, [1, 2, 3], 4, {"x": 1, "y": 2}],
    ),
    Program("walrus", "[y for x in range(5) if (y := x * x) > 3]", [4, 9, 16]),
    Program("loops with else", "for i in range(3):\n    pass\nelse:\n    result = 'else'", "else"),
    Program(
        "match",
        "def f(v):\n    match v:\n        case {'kind': 'a', **rest}:\n            return rest\n"
        "        case [x, y] if x < y:\n            return 'up'\n        case int() | float():\n"
        "            return 'number'\n        case _:\n            return None\n"
        "[f({'kind': 'a', 'n': 1}), f([1, 2]), f(3.0), f('s')]",
        [{"n": 1}, "up", "number", None],
    ),
    Program(
        "functions",
        "def f(a, /, b=2, *args, c, d=4, **kw):\n    return [a, b, args, c, d, kw]\nf(1, 2, 3, c=5, e=6)",
        [1, 2, (3,), 5, 4, {"e": 6}],
    ),
    Program(
        "closures",
        "def counter():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n"
        "    return step\nc = counter()\n[c(), c(), c()]",
        [1, 2, 3],
    ),
    Program(
        "recursion",
        "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nfib(18)",
        2584,
    ),
    Program("deep recursion", "def d(n):\n    return 0 if n == 0 else 1 + d(n - 1)\nd(700)", 700),
    Program(
        "decorators",
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def inner(*a):\n        return f(f(*a))\n"
        "    return inner\n@twice\ndef inc(x):\n    return x + 1\n[inc(1), inc.__name__]",
        [3, "inc"],
    ),
    Program(
        "classes",
        "class A:\n    kind = 'a'\n    def __init__(self, x):\n        self.x = x\n    @property\n"
        "    def double(self):\n        return self.x * 2\n    @classmethod\n    def make(cls):\n        return cls(5)\n"
        "    @staticmethod\n    def name():\n        return 'n'\n[A.make().double, A.name(), A.kind]",
        [10, "n", "a"],
    ),
    Program(
        "inheritance",
        "class A:\n    def who(self):\n        return ['A']\nclass B(A):\n    def who(self):\n"
        "        return ['B'] + super().who()\nclass C(A):\n    def who(self):\n        return ['C'] + super().who()\n"
        "class D(B, C):\n    def who(self):\n        return ['D'] + super().who()\nD().who()",
        ["D", "B", "C", "A"],
    ),
    Program(
        "operators",
        "class V:\n    def __init__(self, *c):\n        self.c = c\n    def __add__(self, o):\n"
        "        return V(*map(sum, zip(self.c, o.c)))\n    def __eq__(self, o):\n        return self.c == o.c\n"
        "    def __getitem__(self, i):\n        return self.c[i]\n    def __len__(self):\n        return len(self.c)\n"
        "v = V(1, 2) + V(3, 4)\n[v == V(4, 6), v[1], len(v), list(v)]",
        [True, 6, 2, [4, 6]],
    ),
    Program(
        "slots",
        "class S:\n    __slots__ = ('a',)\ns = S()\ntry:\n    s.b = 1\nexcept AttributeError:\n    result = 'no'",
        "no",
    ),
    Program(
        "descriptors",
        "class D:\n    def __set_name__(self, o, n):\n        self.n = n\n    def __get__(self, i, o):\n"
        "        return f'got {self.n}'\nclass A:\n    field = D()\nA().field",
        "got field",
    ),
    Program(
        "metaclasses",
        "class M(type):\n    made = []\n    def __new__(m, name, bases, ns):\n        m.made.append(name)\n"
        "        return super().__new__(m, name, bases, ns)\nclass A(metaclass=M):\n    pass\nclass B(A):\n    pass\nM.made",
        ["A", "B"],
    ),
    Program(
        "abstract classes",
        "import abc\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\ntry:\n    A()\n"
        "except TypeError as error:\n    result = 'abstract' in str(error)",
    ),
    Program(
        "dataclasses",
        "from dataclasses import dataclass, field, replace, asdict\n@dataclass(frozen=True, order=True)\nclass P:\n"
        "    x: int\n    y: int = 2\n    tags: list = field(default_factory=list, compare=False)\n"
        "p = replace(P(1), y=5)\n[asdict(p), P(1) < p, repr(P(0))]",
        [{"x": 1, "y": 5, "tags": []}, True, "P(x=0, y=2, tags=[])"],
    ),
    Program(
        "dataclass as a result",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nP(3)",
        {"x": 3},
    ),
    Program(
        "enums",
        "import enum\nclass C(enum.Enum):\n    RED = 'r'\n    BLUE = 'b'\nclass F(enum.IntFlag):\n    A = enum.auto()\n"
        "    B = enum.auto()\n[C('r').name, len(C), (F.A | F.B).value, C.RED]",
        ["RED", 2, 3, "r"],
    ),
    Program(
        "named tuples",
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 1\nP(4)",
        (4, 1),
    ),
    Program(
        "protocols",
        "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass Has(Protocol):\n    def run(self): ...\nclass A:\n    def run(self): ...\nisinstance(A(), Has)",
    ),
    Program(
        "type parameters",
        "class Box[T]:\n    def __init__(self, v: T):\n        self.v = v\ndef first[T](xs: list[T]) -> T:\n    return xs[0]\ntype Alias = list[int]\n[Box(1).v, first([7]), Box.__type_params__[0].__name__]",
        [1, 7, "T"],
    ),
    Program(
        "annotations",
        "def f(a: int, b: 'str' = '') -> None: ...\nimport typing\nsorted(k for k in typing.get_type_hints(f))",
        ["a", "b", "return"],
    ),
    Program(
        "generators",
        "def g():\n    got = yield 1\n    yield got\n    return 9\ni = g()\n[next(i), i.send('s'), next(i, 'end')]",
        [1, "s", "end"],
    ),
    Program(
        "yield from",
        "def a():\n    x = yield from b()\n    yield x\ndef b():\n    yield 1\n    return 2\nlist(a())",
        [1, 2],
    ),
    Program(
        "iterators",
        "class I:\n    def __init__(self):\n        self.n = 0\n    def __iter__(self):\n        return self\n    def __next__(self):\n        self.n += 1\n        if self.n > 3:\n            raise StopIteration\n        return self.n\nlist(I())",
        [1, 2, 3],
    ),
    Program(
        "context managers",
        "from contextlib import contextmanager, ExitStack\nlog = []\n@contextmanager\ndef c(n):\n    log.append(n)\n    yield\n    log.append(-n)\nwith ExitStack() as s:\n    for i in (1, 2):\n        s.enter_context(c(i))\nlog",
        [1, 2, -2, -1],
    ),
    Program(
        "exceptions",
        "log = []\ntry:\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n        raise KeyError('k') from error\n    finally:\n        log.append('finally')\nexcept KeyError as error:\n    log.append(type(error.__cause__).__name__)\nlog",
        ["finally", "ZeroDivisionError"],
    ),
    Program(
        "exception groups",
        "got = []\ntry:\n    raise ExceptionGroup('g', [ValueError(1), TypeError(2)])\nexcept* ValueError as g:\n    got.append(len(g.exceptions))\nexcept* TypeError as g:\n    got.append('t')\ngot",
        [1, "t"],
    ),
    Program(
        "own exceptions",
        "class E(ValueError):\n    def __init__(self, n):\n        super().__init__(f'E{n}')\ntry:\n    raise E(3)\nexcept ValueError as error:\n    error.add_note('note')\n    result = [str(error), error.__notes__]",
        ["E3", ["note"]],
    ),
    Program(
        "tracebacks",
        "import traceback\ntry:\n    {}['key']\nexcept KeyError:\n    text = traceback.format_exc()\n[\"{}['key']\" in text, text.splitlines()[-1]]",
        [True, "KeyError: 'key'"],
    ),
    Program(
        "recursion error",
        "def f():\n    return f()\ntry:\n    f()\nexcept RecursionError:\n    result = 'caught'",
        "caught",
    ),
    Program(
        "globals and exec",
        "ns = {}\nexec('def f(): return 5', ns)\n[ns['f'](), eval('1+1'), 'ns' in globals()]",
        [5, 2, True],
    ),
    Program(
        "compile and ast",
        "import ast\ntree = ast.parse('a + b')\n[type(tree.body[0].value).__name__, eval(compile('6*7', '<s>', 'eval')), ast.literal_eval('[1, {2: 3}]')]",
        ["BinOp", 42, [1, {2: 3}]],
    ),
    Program(
        "printing",
        "import sys\nprint('a', 'b', sep='-', end='!')\nprint('e', file=sys.stderr)\nsys.stdout.write('x')",
        1,
    ),
    Program(
        "sorting",
        "sorted([('b', 1), ('a', 1), ('c', 0)], key=lambda p: (p[1], p[0]))",
        [("c", 0), ("a", 1), ("b", 1)],
    ),
    Program(
        "weak references",
        "import weakref, gc\nclass A: ...\na = A()\nr = weakref.ref(a)\nalive = r() is a\ndel a\ngc.collect()\n[alive, r() is None]",
        [True, True],
    ),
    Program(
        "finalizers",
        "log = []\nclass A:\n    def __del__(self):\n        log.append('gone')\na = A()\ndel a\nlog",
        ["gone"],
    ),
    Program(
        "introspection",
        "import inspect\ndef f(a, b=1): 'Doc.'\n[str(inspect.signature(f)), inspect.getdoc(f), 'def f' in inspect.getsource(f)]",
        ["(a, b=1)", "Doc.", True],
    ),
)
