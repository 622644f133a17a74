from __future__ import annotations

import pytest

from codemode.tools.docstring import argument_docs, first_paragraph

DOC = """Say
    something short.

    More of it.

    Args:
        city (str, optional): The city,
            or its code: either will do.

        days: How many.
        *more: Others.
        plain

    Returns:
        text: What it is like.
    """


@pytest.mark.parametrize(
    ("doc", "text"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        (DOC, "Say something short."),
        ("\n    Starts late.\n\n    Second.", "Starts late."),
        ("Args:\n    x: Only arguments.", ""),
    ],
    ids=["none", "empty", "line", "long", "late", "arguments"],
)
def test_the_description_is_the_first_paragraph_on_one_line(doc: str | None, text: str) -> None:
    assert first_paragraph(doc) == text


def test_arguments_are_read_from_googles_style() -> None:
    assert argument_docs(DOC) == {
        "city": "The city, or its code: either will do.",
        "days": "How many.",
        "more": "Others. plain",
    }


@pytest.mark.parametrize("doc", [None, "", "Args: none", ":param x: other styles"])
def test_other_docstrings_have_no_arguments(doc: str | None) -> None:
    assert argument_docs(doc) == {}
