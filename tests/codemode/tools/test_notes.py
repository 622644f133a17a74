from __future__ import annotations

from typing import Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, Field
from typing_extensions import Doc

from codemode.tools import make_tool
from codemode.tools.notes import note_in

type Limit = Annotated[int, Field(le=200, description="At most 200.")]


class Model(BaseModel):
    number: int = 0


@pytest.mark.parametrize(
    ("hint", "note"),
    [
        (Annotated[int, Field(ge=1, description="How\n many.")], "How many."),
        (Annotated[int, "plain"], "plain"),
        (Annotated[int, Doc("from Doc")], "from Doc"),
        (Annotated[int, Field(ge=1), "second"], "second"),
        (Annotated[int, "inner"] | None, "inner"),
        (NotRequired[Annotated[int, "key"]], "key"),
        (Limit, "At most 200."),
        (Limit | None, "At most 200."),
        (Annotated[int, Field(ge=1)], ""),
        (list[Annotated[int, "of items"]], ""),
        (Model, ""),
        (Any, ""),
    ],
)
def test_a_note_stands_beside_the_type(hint: Any, note: str) -> None:
    assert note_in(hint) == note


def test_notes_reach_the_parameter_and_win_over_the_docstring() -> None:
    def find(
        text: Annotated[str, Field(description="Words.")],
        limit: Annotated[int | None, "At most."] = None,
        other: int = 0,
    ) -> None:
        """Find.

        Args:
            text: From the docstring.
            other: From the docstring.
        """

    made = make_tool("find", find)
    docs = {one.name: one.doc for one in made.arguments.parameters.values()}
    assert docs == {"text": "Words.", "limit": "At most.", "other": "From the docstring."}
    described = made.input_schema["properties"]
    assert [described[name]["description"] for name in docs] == list(docs.values())
    assert made.signature == "find(text: str, limit: int | None = None, other: int = 0) -> None"
