"""Tables in Markdown."""

from __future__ import annotations

__all__ = ["Cells", "table"]

Cells = dict[tuple[str, str], str]


def table(cells: Cells) -> str:
    """Return cells by row and column as a table in Markdown."""
    columns = list(dict.fromkeys(column for _, column in cells))
    rows = [["", *columns]] + [
        [row, *(cells.get((row, column), "") for column in columns)]
        for row in dict.fromkeys(row for row, _ in cells)
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns) + 1)]
    rows.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)
