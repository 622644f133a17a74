from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import pickle
import time

import pytest

from codemode.core.context import (
    CurrentExecution,
    RuntimeContext,
    bind_tool,
    get_current_context,
    get_current_execution,
    set_current_context,
    use_context,
)


def test_a_context_is_a_mapping_with_get() -> None:
    context = RuntimeContext(variables={"tenant": "acme", "none": None})

    assert context["tenant"] == "acme"
    assert context.get("tenant") == "acme"
    assert context.get("none", 1) is None
    assert context.get("lost") is None
    assert context.get("lost", default=3) == 3
    assert dict(context) == {"tenant": "acme", "none": None}
    assert "lost" not in context


def test_a_context_cannot_be_changed() -> None:
    source = {"tenant": "acme"}
    context = RuntimeContext(source)
    source["tenant"] = "evil"

    assert context["tenant"] == "acme"
    with pytest.raises(AttributeError, match="immutable"):
        context.tenant = "evil"
    with pytest.raises(AttributeError, match="immutable"):
        context._variables = {}
    with pytest.raises(AttributeError, match="immutable"):
        del context._variables
    with pytest.raises(TypeError):
        context.variables["tenant"] = "evil"  # type: ignore[index]  # the point
    with pytest.raises(TypeError):
        context["tenant"] = "evil"  # type: ignore[index]  # the point


def test_contexts_are_equal_by_value_and_not_hashable() -> None:
    assert RuntimeContext({"a": [1]}) == RuntimeContext({"a": [1]})
    assert RuntimeContext({"a": 1}) != RuntimeContext({"a": 2})
    assert RuntimeContext() == RuntimeContext({})
    with pytest.raises(TypeError, match="unhashable"):
        hash(RuntimeContext())


def test_repr_shows_names_and_no_values() -> None:
    assert repr(RuntimeContext({"token": "hunter2", "b": 1})) == "<RuntimeContext: token, b>"
    assert repr(RuntimeContext()) == "<RuntimeContext: empty>"


def test_merged_returns_a_new_context() -> None:
    context = RuntimeContext({"a": 1, "b": 2})

    assert context.merged(b=3, c=4) == RuntimeContext({"a": 1, "b": 3, "c": 4})
    assert context == RuntimeContext({"a": 1, "b": 2})


def test_contexts_travel_by_pickle_and_copy() -> None:
    context = RuntimeContext({"a": [1]})

    assert pickle.loads(pickle.dumps(context)) == context
    assert copy.deepcopy(context) == context
    assert copy.copy(context) == context


def test_names_must_be_texts() -> None:
    with pytest.raises(TypeError, match="variable 1 is a int"):
        RuntimeContext({1: "x"})  # type: ignore[dict-item]  # the point


def test_only_a_runtime_context_can_be_current() -> None:
    with pytest.raises(TypeError, match=r"expected RuntimeContext"):
        set_current_context({"a": 1})  # type: ignore[arg-type]  # the point
    assert get_current_context() is None


def test_use_context_restores_the_former_context_even_after_an_error() -> None:
    outer, inner = RuntimeContext({"a": 1}), RuntimeContext({"b": 1})
    with use_context(outer):
        with contextlib.suppress(KeyError), use_context(inner):
            assert get_current_context() is inner
            raise KeyError
        assert get_current_context() is outer
        with use_context(None):
            assert get_current_context() is None
    assert get_current_context() is None


async def test_tasks_do_not_see_each_others_context() -> None:
    async def task(name: str, delay: float) -> None:
        context = RuntimeContext({"name": name})
        set_current_context(context)
        await asyncio.sleep(delay)
        assert get_current_context() is context

    await asyncio.gather(*(task(str(number), 0.01 * (3 - number)) for number in range(3)))
    assert get_current_context() is None


def test_the_current_execution_is_known_to_the_tool_only() -> None:
    execution = CurrentExecution(
        execution_id="e", tool="t", call_id=1, expires_at=time.monotonic() + 1000
    )
    context = contextvars.copy_context()
    context.run(bind_tool, RuntimeContext({"a": 1}), execution)

    assert context.run(get_current_execution) is execution
    assert context.run(get_current_context) == RuntimeContext({"a": 1})
    assert get_current_execution() is None
    assert 900 < execution.deadline <= 1000
    assert "expires_at" not in repr(execution)


def test_the_deadline_is_never_negative() -> None:
    late = CurrentExecution(execution_id="e", tool="t", call_id=1, expires_at=0.0)

    assert late.deadline == 0.0
