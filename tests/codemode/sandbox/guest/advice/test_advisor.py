"""Tests of advice where the code is odd or hostile; test_mistakes.py has the texts."""

from __future__ import annotations

import linecache
from typing import cast

import pytest

from codemode.sandbox.guest.advice.advisor import Advisor
from codemode.sandbox.guest.tools.calling import Caller
from codemode.sandbox.guest.tools.toolbox import Tools
from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome, tool

TOOLS = [tool("orders.get", "orders.get(order_id: int) -> Order", "order_id")]

# Every method of these classes is recorded.
SPIES = """
class Meta(type):
    def __getattribute__(cls, name):
        told.append(f"attribute {name} of the class")
        return type.__getattribute__(cls, name)
    def __instancecheck__(cls, one):
        told.append("isinstance")
        return True
    def __eq__(cls, other):
        told.append("a comparison of the class")
        return cls is other
    def __hash__(cls):
        told.append("a hash of the class")
        return 1

def recorded(name):
    return lambda self, *args: told.append(name)

class Spy(dict, metaclass=Meta):
    for _name in ("__iter__", "__len__", "__getattr__", "__bool__", "__repr__", "__eq__", "keys"):
        locals()[_name] = recorded(_name)
    __hash__ = None
    __class__ = property(recorded("__class__"))

class Key(str):
    __hash__ = str.__hash__
    def __eq__(self, other):
        told.append("__eq__ of a key")
        return True
    __repr__ = recorded("__repr__ of a key")

class Boom(Exception, metaclass=Meta):
    add_note = __traceback__ = __context__ = args = property(recorded("a part of the exception"))
    __str__ = recorded("__str__")
"""


def run(forker: Forker, code: str, *, session: bool = False) -> Outcome:
    with Guest(forker, TOOLS, lambda *_: {"id": 1, "total": 2}, session=session) as guest:
        return guest.run(code)


@pytest.mark.parametrize(
    "mistake",
    [
        "spy = Spy(total=1)\nspy['totl']",
        "record = {Key('totl'): 1}\nrecord['total']",
        "record = {Key('totl'): 1}\nrecord.total",
        "record = {'spy': Spy()}\nrecord['spi']",
        "spies = [Spy(), Spy()]\nspies['total']",
        "spies = [Spy(), Spy()]\nspies.total",
        "spies = [Spy(), Spy()]\n[one['total'].x for one in spies]",
        "globals()[Key('record')] = {'total': 1}\nrecord['totl']",
        "spy = Spy()\nspy + None",
        "spy = Spy()\nspy(1)",
        "spy = Spy()\nset([spy])",
        "spy = Spy()\nlist(map(spy, None))",
        "(0 for _ in ()).throw(Boom('x'))",
        "(0 for _ in ()).throw(KeyError(Spy()))",
        "(0 for _ in ()).throw(OSError(Spy(), Spy(), Spy()))",
        "(0 for _ in ()).throw(NameError(Spy(), name=Spy()))",
        "(0 for _ in ()).throw(AttributeError(Spy(), name=Spy(), obj=Spy()))",
        "(0 for _ in ()).throw(ModuleNotFoundError(Spy(), name=Spy()))",
        "record = {}\nrecord[Boom]",
        (
            "class Error(OSError): errno = filename = property(lambda self: told.append('errno'))\n"
            "(0 for _ in ()).throw(Error(5, 'x'))"
        ),
    ],
)
def test_no_method_of_the_code_is_called(mistake: str) -> None:
    told: list[str] = []
    names: dict[str, object] = {"told": told}
    exec(SPIES, names)
    linecache.cache["<code>"] = (0, None, mistake.splitlines(keepends=True), "<code>")
    error = None
    try:
        exec(compile(mistake, "<code>", "exec"), names)
    except BaseException as caught:  # noqa: BLE001 - the classes of the code may raise anything
        told.clear()
        Advisor(Tools([], cast(Caller, None))).advise(caught)
        error = caught
    assert error is not None
    assert told == []


def test_exceptions_of_the_code_get_no_advice(forker: Forker) -> None:
    for code in (
        "raise TypeError(\"'coroutine' object is not iterable\")",
        "class Missing(KeyError): pass\nraise Missing('total')",
        "raise KeyError('total')",
    ):
        outcome = run(forker, code)
        assert "\n" not in outcome.message


def test_advice_is_in_the_traceback_as_a_note(forker: Forker) -> None:
    outcome = run(forker, "order = {'total': 1}\norder.total")
    assert outcome.traceback.endswith(f"AttributeError: {outcome.message}\n")


def test_advice_works_where_names_are_local(forker: Forker) -> None:
    code = (
        "class Shop:\n"
        "    def total(self, order):\n"
        "        rows = [order]\n"
        "        def inner():\n"
        "            return [row['totl'] for row in rows]\n"
        "        return inner()\n"
        "Shop().total({'total': 1})"
    )
    outcome = run(forker, code)
    assert (outcome.message, outcome.line) == ("'totl'\nDid you mean 'total'?", 5)


def test_advice_works_in_a_class_body_and_in_later_runs(forker: Forker) -> None:
    with Guest(forker, TOOLS, lambda *_: None, session=True) as guest:
        first = guest.run("class Shop:\n    order = {'total': 1}\n    order['totl']")
        second = guest.run("def f(order):\n    return order['totl']\nf({'total': 1})")
        third = guest.run("f({'Totl': 1})")
    assert first.message == second.message == "'totl'\nDid you mean 'total'?"
    assert third.message == "'totl'\nDid you mean 'Totl'?"


def test_thread_that_ends_by_an_exception_gets_advice(forker: Forker) -> None:
    code = (
        "import threading\n"
        "thread = threading.Thread(target=lambda: {'total': 1}['totl'])\n"
        "thread.start()\nthread.join()"
    )
    order = "order = {'total': 1}\n" + code.replace("{'total': 1}['totl']", "order['totl']")
    assert "KeyError: 'totl'\nDid you mean 'total'?" in run(forker, order).stderr


@pytest.mark.parametrize(
    "code, message",
    [
        ("record = {'k' * 1_000_000: 1}\nrecord['total']", "its keys are 'kkk"),
        ("record = {f'key{n}': n for n in range(100_000)}\nrecord['total']", "'key19', …"),
        ("getattr(orders, 'x' * 1_000_000)", "there is no tool orders.xxx"),
        ("tools['x' * 1_000_000]", "there is no tool xxx"),
        ("x = " + "[" * 90 + "1" + "]" * 90 + "\nx['a']", "list indices"),
        ("order = {'total': 1}\n(\n" + "\n" * 5000 + "order['totl'])", "'totl'"),
        ("order = {'total': 1}\nf'{order[\"totl\"]}'", "Did you mean 'total'?"),
        ("größe = {'total': 1}\n'ü', größe['totl']", "Did you mean 'total'?"),
    ],
)
def test_advice_is_bounded(forker: Forker, code: str, message: str) -> None:
    outcome = run(forker, code)
    assert message in outcome.message
    _, _, advice = outcome.message.partition("\n")
    assert len(advice) < 1_500


def test_code_that_replaces_what_advice_uses_harms_only_its_own_report(forker: Forker) -> None:
    code = (
        "import ast, linecache, difflib, itertools, os\n"
        "def fail(*args, **kwargs):\n    raise SystemError('replaced')\n"
        "for module in (ast, linecache, difflib, itertools, os):\n"
        "    for name in list(vars(module)):\n"
        "        if not name.startswith('__') and callable(getattr(module, name)):\n"
        "            setattr(module, name, fail)\n"
        "linecache.cache = None\n"
        "order = {'total': 1}\n"
        "order['totl']"
    )
    outcome = run(forker, code)
    assert (outcome.type, outcome.line) == ("KeyError", 10)
