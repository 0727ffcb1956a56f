"""Tables as Markdown, and as aligned text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """A Markdown table in columns of equal width.

    Args:
        header: a heading for each column.
        rows: a cell for each column.
        numbers: whether all columns but the first are shown to the right.
    """
    widths = _widths([header, *rows])
    rule = ["-" * w for w in widths]
    if numbers:
        rule[1:] = [f"{line[1:]}:" for line in rule[1:]]
    lines = (" | ".join(_padded(row, widths, len(widths))) for row in (header, rule, *rows))
    return "\n".join(f"| {line} |" for line in lines)


def aligned(rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Rows as text in columns: the first `left` to the left, the others, numbers, to the right."""
    widths = _widths(rows)
    return "\n".join("  ".join(_padded(row, widths, left)).rstrip() for row in rows)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _padded(row: Sequence[str], widths: list[int], left: int) -> list[str]:
    return [
        cell.ljust(width) if i < left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
