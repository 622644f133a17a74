"""Tests of advice where the code is odd or hostile; test_mistakes.py has the texts."""

from __future__ import annotations

import textwrap

import pytest

from tests.codemode.sandbox.guest.guest_driver import Forker, Guest, Outcome, tool

TOOLS = [tool("orders.get", "orders.get(order_id: int) -> Order", "order_id")]

# Each method says so when it is called; the advice must call none.
SPY = (
    "import builtins\n"
    "class Meta(type):\n"
    "    def __getattribute__(cls, name):\n        print('Meta', name)\n        return type.__getattribute__(cls, name)\n"
    "    def __instancecheck__(cls, one):\n        print('isinstance')\n        return True\n"
    "class Spy(dict, metaclass=Meta):\n"
    "    def _told(name):\n"
    "        return lambda self, *args: print('Spy', name)\n"
    "    for _name in ('__iter__', '__len__', '__getattr__', '__bool__', '__repr__', 'keys', 'items'):\n"
    "        locals()[_name] = _told(_name)\n"
    "class Key(str):\n"
    "    __hash__ = str.__hash__\n"
    "    def __eq__(self, other):\n        print('Key eq')\n        return True\n"
    "    def __repr__(self):\n        print('Key repr')\n        return 'Key'\n"
)


def run(forker: Forker, code: str, *, session: bool = False) -> Outcome:
    with Guest(forker, TOOLS, lambda *_: {"id": 1, "total": 2}, session=session) as guest:
        return guest.run(code)


@pytest.mark.parametrize(
    "mistake",
    [
        "spy = Spy(total=1)\nspy['totl']",
        "record = {Key('totl'): 1}\nrecord['total']",
        "spies = [Spy(), Spy()]\nspies['total']",
        "globals()[Key('record')] = 1\nrecord.total",
        "record = {'spy': Spy()}\nrecord['spi']",
        "spy = Spy()\nspy + None",
        "spy = Spy()\nlen(spy, spy)",
        "spy = Spy()\nspy(1)",
    ],
)
def test_no_method_of_the_code_is_called(forker: Forker, mistake: str) -> None:
    caught = f"try:\n{textwrap.indent(mistake, '    ')}\nexcept Exception:\n    pass"
    outcome = run(forker, SPY + mistake)
    assert outcome.type, outcome
    # The traceback shows the name of a class. Otherwise the report adds no line to those that the
    # code prints by itself.
    told = [line for line in outcome.stdout.splitlines() if not line.startswith("Meta __")]
    alone = run(forker, SPY + caught).stdout.splitlines()
    assert told == [line for line in alone if not line.startswith("Meta __")]


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
        ("{'total': 1}['x' * 1_000_000]", "'xx"),
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
    assert "\n".join(outcome.message.split("\n")[1:]) == "" or len(outcome.message) < 40_000


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
