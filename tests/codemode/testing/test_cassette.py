"""Promises of cassettes: a test's runs are answered from a file, and drift is shown."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from codemode import Codemode, InvalidRequestError, Recording, RuntimeContext, tool
from codemode.core.hooks import ToolCall
from codemode.testing import CassetteError, CassetteMode, use_cassette
from codemode.tools.tool import Tool
from tests.support.halves import Half

CODE = """
order = get_order(17)
await notify(order["customer"], text=f"{order['total']} are due")
refund(17, order["total"])
print(order)
"""


class Shop:
    """Three tools, and their effects."""

    def __init__(self, codemode: Codemode) -> None:
        self.effects: list[str] = []
        self.registry = codemode.registry
        for function in (self.get_order, self.notify, self.refund):
            self.registry.register_tool(function.__name__, function)

    def get_order(self, order_id: int) -> dict[str, Any]:
        self.effects.append("get_order")
        return {"customer": "ann", "total": 5}

    async def notify(self, customer: str, text: str) -> None:
        self.effects.append("notify")

    def refund(self, order_id: int, amount: int) -> bool:
        self.effects.append("refund")
        return True


@pytest.fixture
def shop(codemode: Codemode) -> Shop:
    return Shop(codemode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "one.json"


def record(codemode: Codemode, path: Path, *codes: str) -> None:
    with use_cassette(path, mode="rerecord"):
        for code in codes:
            codemode.run(code)


def drift(codemode: Codemode, path: Path, *codes: str) -> str:
    with pytest.raises(CassetteError) as caught, use_cassette(path):
        for code in codes:
            codemode.run(code)
    return str(caught.value)


def test_runs_are_answered_from_the_file(
    codemode: Codemode, shop: Shop, path: Path, half: Half
) -> None:
    with use_cassette(path, mode="record") as cassette:
        first = half.run(codemode, CODE)
        codemode.execute("get_order(1)")
    assert shop.effects == ["get_order", "notify", "refund", "get_order"]
    assert [call.name for call in cassette.calls] == shop.effects
    with use_cassette(path) as cassette:
        again = half.run(codemode, CODE)
        codemode.execute("get_order(1)")
    assert (again.status, again.stdout, again.execution_id) == (
        "completed",
        first.stdout,
        first.execution_id,
    )
    assert [call.replayed for call in again.tool_calls] == [True] * 3
    assert [run.code for run in cassette.runs] == [CODE, "get_order(1)"]
    assert len(shop.effects) == 4


def test_a_replay_asks_for_no_permission_and_runs_no_hook(
    codemode: Codemode, shop: Shop, path: Path, half: Half
) -> None:
    asked: list[str] = []

    class Hook:
        def before_call(self, call: ToolCall) -> None:
            asked.append("hook")

        def after_call(self, call: ToolCall, outcome: object) -> None:
            pass

    class Checker:
        def allows(self, tool: Tool, context: RuntimeContext) -> bool:
            asked.append(tool.name)
            return tool.name == "allowed"

    for name in ("allowed", "denied"):
        codemode.registry.register_tool(name, tool(permission=name)(lambda: 1))
    codemode.registry.add_hook(Hook())
    codemode.registry.permission_checker = Checker()
    codemode.registry.context_loader = lambda context: lambda: asked.append("context")
    code = "print(list(tools))\nnames = [one['name'] for one in tools.search('allowed denied')]\nallowed()\ntry: denied()\nexcept Exception as error: print(error)\nnames"
    acme = codemode.registry.context(tenant_id="acme")
    with acme, use_cassette(path, mode="record") as cassette:
        first = half.run(codemode, code)
    assert {*asked} == {"hook", "context", "allowed", "denied"}
    assert cassette.runs[0].hidden_tools == {"denied"}
    asked.clear()
    with acme, use_cassette(path):
        again = half.run(codemode, code)
    assert asked == []
    assert (again.value, again.stdout) == (first.value, first.stdout)
    assert "denied" in first.stdout


def test_streams_and_threads_belong_to_the_cassette(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    def both() -> None:
        thread = threading.Thread(target=codemode.run, args=("get_order(1)",))
        thread.start()
        thread.join()
        list(codemode.stream("get_order(2)"))

    with use_cassette(path, mode="record"):
        both()
    with use_cassette(path) as cassette:
        both()
    assert len(cassette.runs) == len(shop.effects) == 2


def test_what_a_tool_runs_and_runs_with_a_recording_do_not_belong_to_it(
    codemode: Codemode, path: Path
) -> None:
    ran: list[str] = []

    def nested() -> object:
        ran.append("nested")
        return codemode.run("7").value

    codemode.registry.register_tool("nested", nested)
    modes: list[CassetteMode] = ["record", "replay"]
    for mode in modes:
        with use_cassette(path, mode=mode) as cassette:
            assert codemode.run("nested()").value == 7
            assert codemode.run("nested()", recording=Recording()).value == 7
        assert len(cassette.runs) == 1
    assert len(ran) == 3


def test_code_that_fails_and_catches_failures_is_answered(
    codemode: Codemode, shop: Shop, path: Path, half: Half
) -> None:
    code = "try: get_order('x')\nexcept Exception as error: print(error)\nget_order(1)['none']"
    with use_cassette(path, mode="record"):
        first = half.run(codemode, code)
    with use_cassette(path) as cassette:
        again = half.run(codemode, code)
        shorter = cassette.runs[0].cut(after=1)
    assert (again.status, again.error, again.stdout) == ("failed", first.error, first.stdout)
    assert len(shop.effects) == len(shorter.calls) == 1


def test_large_values_are_answered_from_the_file(codemode: Codemode, path: Path) -> None:
    ran: list[int] = []

    def large(size: int) -> bytes:
        ran.append(size)
        return bytes(size)

    codemode.registry.register_tool("large", large)
    record(codemode, path, "len(large(100_000))")
    with use_cassette(path):
        assert codemode.run("len(large(100_000))").value == 100_000
    assert len(ran) == 1


def test_another_call_is_shown_as_a_diff(codemode: Codemode, shop: Shop, path: Path) -> None:
    record(codemode, path, "1", CODE)
    assert drift(codemode, path, "1", CODE.replace("refund(17, ", "refund(17, 2 + ")) == (
        f"the code left the cassette {path}\nrun 2 of 2, line 4: "
        'refund(17, 2 + order["total"])\n'
        "--- recorded\n"
        "+++ now\n"
        "@@ -1,3 +1,3 @@\n"
        " get_order(order_id=17)\n"
        " notify(customer='ann', text='5 are due')\n"
        "-refund(order_id=17, amount=5)\n"
        "+refund(order_id=17, amount=7)\n"
        "To record it: run the test with CODEMODE_CASSETTES=rerecord, "
        "or use_cassette(…, mode='rerecord')"
    )
    assert len(shop.effects) == 3


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("get_order(1)", [" get_order(order_id=1)", "-get_order(order_id=2)"]),
        ("1", ["-get_order(order_id=1)", "-get_order(order_id=2)"]),
        (
            "get_order(1), get_order(2), get_order(3)",
            [" get_order(order_id=1)", " get_order(order_id=2)", "+get_order(order_id=3)"],
        ),
        (
            "get_order(1), refund(1, amount=2)",
            [
                " get_order(order_id=1)",
                "-get_order(order_id=2)",
                "+refund(order_id=1, amount=2)",
            ],
        ),
        (
            f"get_order(1), refund('{'x' * 90}', 1)",
            [
                " get_order(order_id=1)",
                "-get_order(order_id=2)",
                "+refund(",
                f"+    order_id='{'x' * 90}',",
                "+    amount=1,",
                "+)",
            ],
        ),
        (
            "print(1), get_order(1), get_order(2)",
            ["the code left its record: its stdout was '0\\n', and now is '1\\n'"],
        ),
    ],
    ids=["fewer", "none", "more", "another tool", "long", "output"],
)
def test_each_kind_of_drift_is_shown(
    codemode: Codemode, shop: Shop, path: Path, code: str, lines: list[str]
) -> None:
    recorded = (
        "print(0), get_order(1), get_order(2)" if "print" in code else "get_order(1), get_order(2)"
    )
    record(codemode, path, recorded)
    told = drift(codemode, path, code).splitlines()
    start = next((n + 1 for n, line in enumerate(told) if line.startswith("@@")), 2)
    assert told[start:-1] == lines


def test_inputs_that_have_changed_are_named_as_a_reason(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    with use_cassette(path, mode="record"):
        codemode.run("get_order(number)", inputs={"number": 1})
    with pytest.raises(CassetteError) as caught, use_cassette(path):
        codemode.run("get_order(number)", inputs={"number": 2})
    reason = "The code is the recorded one, and its inputs are not.\nTo record"
    assert f"+get_order(order_id=2)\n{reason}" in str(caught.value)
    content = json.loads(path.read_text())
    del content["runs"][0]["inputs"]  # as in files that were written before they had it
    path.write_text(json.dumps(content))
    with pytest.raises(CassetteError) as caught, use_cassette(path):
        codemode.run("get_order(number)", inputs={"number": 2})
    assert "The code is the recorded one: its inputs, its tools or" in str(caught.value)


def test_concurrent_runs_of_one_code_are_told_apart_by_their_inputs(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    code = "get_order(number), sorted(names)"

    def run(*numbers: int) -> None:
        for number in numbers:
            inputs = {"names": {f"ann {number}", "bob"}, "number": number}
            codemode.run(code, inputs=dict(reversed(inputs.items())) if number == 2 else inputs)

    with use_cassette(path, mode="record"):
        run(1, 2, 3)
    with use_cassette(path):
        run(3, 2, 1)
    with pytest.raises(CassetteError) as caught, use_cassette(path):
        run(4)
    assert "-get_order(order_id=1)\n+get_order(order_id=4)\n" in str(caught.value)
    with pytest.raises(CassetteError) as caught, use_cassette(path):
        with pytest.raises(CassetteError):
            run(4)
        run(1)
    assert "its inputs are not. Run 1 has these inputs, and answers another" in str(caught.value)


def test_runs_of_other_code_are_told_apart_by_their_inputs(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    with use_cassette(path, mode="record"):
        for number in (1, 2):
            codemode.run("get_order(number)", inputs={"number": number})
    with use_cassette(path):
        for number in (2, 1):
            codemode.run("get_order(number)  # with a remark", inputs={"number": number})


def test_neither_code_nor_inputs_are_blamed_where_they_are_the_recorded_ones(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    """But the randomness of the kernel, which no record has."""
    code = "get_order(int.from_bytes(open('/dev/urandom', 'rb').read(6)))"
    record(codemode, path, code)
    assert "The code and its inputs are the recorded ones: its tools" in drift(codemode, path, code)


def test_drift_that_the_code_under_test_swallows_fails_the_block(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    record(codemode, path, "get_order(1)")
    with pytest.raises(CassetteError, match="order_id=2"), use_cassette(path):
        try:
            codemode.run("get_order(2)")
        except CassetteError:
            pass
    with pytest.raises(ZeroDivisionError) as caught, use_cassette(path):
        try:
            codemode.run("get_order(2)")
        except CassetteError:
            raise ZeroDivisionError from None
    assert "+get_order(order_id=2)" in caught.value.__notes__[0]


def test_more_and_fewer_runs_are_drift(codemode: Codemode, shop: Shop, path: Path) -> None:
    record(codemode, path, "get_order(1)")
    assert "ran 2 times, and the cassette" in drift(codemode, path, "get_order(1)", "2 + 2")
    assert "1 of 1 runs of the cassette" in drift(codemode, path)


def test_a_run_of_the_same_code_comes_first(codemode: Codemode, shop: Shop, path: Path) -> None:
    record(codemode, path, "get_order(1)", "get_order(2)")
    with use_cassette(path):
        assert codemode.run("get_order(2)").ok
        assert codemode.run("get_order(1)  # with a remark").ok


def test_a_tool_that_would_refuse_a_recorded_call_is_drift(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    def get_order(order_id: int, shop: str) -> None:
        pass

    code = "get_order(order_id=1)"
    record(codemode, path, code)
    codemode.registry.register_tool("get_order", get_order, overwrite=True)
    told = drift(codemode, path, code)
    assert "the tool get_order has changed since the cassette" in told
    assert "shop" in told
    codemode.registry.unregister_tool("get_order")
    told = drift(codemode, path, code)
    assert (
        "-get_order(order_id=1)\n"
        "the code ended with NameError on line 1: name 'get_order' is not defined" in told
    )


def test_a_missing_file_fails_at_once(path: Path) -> None:
    told = "one.json does not exist\nTo record it: run the test with CODEMODE_CASSETTES=record,"
    with pytest.raises(CassetteError, match=told):
        use_cassette(path).__enter__()


def test_a_file_that_cannot_be_read_is_named(codemode: Codemode, path: Path) -> None:
    record(codemode, path, "1")
    path.write_text(path.read_text().replace('"ended": "completed"', '"ended": "so"'))
    with pytest.raises(CassetteError, match=r"one.json cannot be read: runs\[0\]: ended is 'so'"):
        use_cassette(path).__enter__()
    path.write_bytes(b"\xff")
    with pytest.raises(CassetteError, match="cannot be read: 'utf-8' codec"):
        use_cassette(path).__enter__()


def test_modes_record_where_they_say_so(
    codemode: Codemode, shop: Shop, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(mode: CassetteMode | None) -> int:
        shop.effects.clear()
        with use_cassette(path, mode=mode):
            codemode.run("get_order(1)")
        return len(shop.effects)

    assert [run("record"), run("record"), run("rerecord"), run(None)] == [1, 0, 1, 0]
    monkeypatch.setenv("CODEMODE_CASSETTES", "rerecord")
    assert [run(None), run("replay")] == [1, 0]
    monkeypatch.setenv("CODEMODE_CASSETTES", "all")
    with pytest.raises(ValueError, match="CODEMODE_CASSETTES is 'all'; expected one of"):
        run(None)
    with pytest.raises(ValueError, match="mode is 'new'; expected one of"):
        run("new")  # type: ignore[arg-type]  # what an untyped caller writes


def test_a_new_record_differs_in_its_clock_and_id_alone(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    texts = []
    for _ in range(2):
        record(codemode, path, "import random\nget_order(random.randrange(10**9))")
        (run,) = json.loads(path.read_text())["runs"]
        texts.append({name: run[name] for name in run if name not in NOISE})
    assert texts[0] == texts[1]


NOISE = ("start", "execution_id", "course")


def test_a_block_that_raises_or_runs_nothing_writes_nothing(codemode: Codemode, path: Path) -> None:
    with pytest.raises(ZeroDivisionError), use_cassette(path, mode="record"):
        codemode.run("1")
        raise ZeroDivisionError
    with pytest.raises(CassetteError, match="no code ran"), use_cassette(path, mode="record"):
        pass
    assert not path.exists()


def test_a_run_that_does_not_end_by_itself_is_not_recorded(codemode: Codemode, path: Path) -> None:
    problem = "a run was refused or cancelled, and a cassette has only runs that end by themselves"
    timeout = "a run ended with the status 'timeout', and"
    with pytest.raises(CassetteError, match=timeout) as caught, use_cassette(path, mode="record"):
        codemode.run("while True: pass", execution_timeout=0.5)
    assert "To record it" not in str(caught.value)  # it is being recorded
    refused: list[dict[str, Any]] = [{"config": {"max_code_bytes": 1}}, {"inputs": {"a b": 1}}]
    for options in refused:
        with pytest.raises(CassetteError, match=problem), use_cassette(path, mode="record"):
            try:
                codemode.client.execute("1 + 1", **options)
            except (InvalidRequestError, CassetteError):
                pass
    assert not path.exists()
    record(codemode, path, "1")
    with pytest.raises(CassetteError, match=timeout), use_cassette(path):
        codemode.run("while True: pass", execution_timeout=0.5)


def test_another_python_replays_and_is_named_where_the_code_drifts(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    record(codemode, path, "get_order(1)")
    (version,) = {run["python"] for run in json.loads(path.read_text())["runs"]}
    path.write_text(path.read_text().replace(f'"python": "{version}"', '"python": "3.99"'))
    with use_cassette(path):
        assert codemode.run("get_order(1)").ok
    told = drift(codemode, path, "get_order(2)")
    assert f"It was recorded with Python 3.99; this is {version}." in told


def test_a_run_may_have_another_id(codemode: Codemode, shop: Shop, path: Path) -> None:
    modes: list[CassetteMode] = ["record", "replay"]
    for mode, name in zip(modes, ("one", "two"), strict=True):
        with use_cassette(path, mode=mode):
            assert codemode.run("get_order(1)", execution_id=name).execution_id == name


def test_a_value_that_was_edited_is_the_tools_answer(
    codemode: Codemode, shop: Shop, path: Path
) -> None:
    record(codemode, path, "get_order(1)['total']")
    path.write_text(path.read_text().replace('"total": 5', '"total": {"$decimal": "7.50"}'))
    with use_cassette(path):
        assert str(codemode.run("get_order(1)['total']").value) == "7.50"


def test_sessions_and_second_cassettes_are_refused(codemode: Codemode, path: Path) -> None:
    record(codemode, path, "1")
    with use_cassette(path):
        with pytest.raises(InvalidRequestError, match="a session cannot be recorded, and the cas"):
            codemode.session().__enter__()
        with pytest.raises(RuntimeError, match="is in use already; leave its block first"):
            use_cassette(path).__enter__()
        codemode.run("1")
    with codemode.session() as session:
        assert session.run("1").value == 1
