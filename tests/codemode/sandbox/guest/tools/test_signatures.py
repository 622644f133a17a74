"""Tests of the signatures of tools."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from codemode.sandbox.guest.tools.signatures import ToolSignature

TEXT = "orders.get(order_id: int, *, verbose: bool = False) -> Order"
PLAIN = "(order_id: int, *, verbose: bool = False) -> Order"


def tool() -> Any:
    def call(*args: Any, **kwargs: Any) -> None: ...

    function: Any = call
    function.__signature__ = ToolSignature(TEXT)
    return function


def test_inspect_takes_it_as_a_signature() -> None:
    signature = inspect.signature(tool())
    assert str(signature) == PLAIN
    assert repr(signature) == f"<Signature {PLAIN}>"
    assert list(signature.parameters) == ["order_id", "verbose"]
    assert signature.bind(1, verbose=True).arguments == {"order_id": 1, "verbose": True}
    assert signature == pickle.loads(pickle.dumps(signature)) == inspect.signature(tool())
    assert str(signature.replace(return_annotation=inspect.Signature.empty)) == PLAIN[:-9]


def test_it_is_parsed_when_it_is_looked_at() -> None:
    signature = ToolSignature("no signature")
    with pytest.raises(ValueError, match="no signature found in 'no signature'"):
        str(signature)
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        getattr(signature, "other")  # noqa: B009
