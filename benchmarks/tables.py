"""Markdown tables from the rows of measurements."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from pathlib import Path

from benchmarks.methods import METHODS as LOSSES
from benchmarks.rows import Row
from icefall_sampled import tables
from icefall_sampled.errors import UserError
from icefall_sampled.files import read_text, write_text


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table of numbers, if there are any."""
    return tables.markdown(header, rows, numbers=True) if rows else "Not measured."


def number(value: float) -> str:
    """Three digits: 1.23, 12.3, 1,234; below 1 three decimals, or one digit."""
    if value >= 99.95:
        return f"{value:,.0f}"
    if value < 0.01:
        return f"{value:.1g}"
    digits = 1 if value >= 9.995 else 2 if value >= 0.9995 else 3
    return f"{value:.{digits}f}"


def is_ok(row: Row) -> bool:
    """Whether the row has figures."""
    return row["status"] == "ok"


def in_order(values: Iterable[str]) -> list[str]:
    """Distinct values: numbers by size, methods in the order of `METHODS`, others as they come."""
    known = {name: i for i, name in enumerate(LOSSES)}
    unique = list(dict.fromkeys(values))
    return sorted(unique, key=lambda x: int(x) if x.isdigit() else known.get(x, 0))


def select(rows: Iterable[Row], **wanted: str) -> list[Row]:
    """The rows with these values."""
    return [row for row in rows if all(row[k] == v for k, v in wanted.items())]


def common_batches(rows: list[Row]) -> list[str]:
    """The batches that every method in the rows has."""
    batches = [{r["batch"] for r in select(rows, method=m)} for m in {r["method"] for r in rows}]
    return sorted(set.intersection(*batches)) if batches else []


def cell(rows: list[Row], column: str) -> str:
    """The median over batches, or the reason why there is none."""
    if not rows:
        return "–"
    good = [float(row[column]) for row in rows if is_ok(row)]
    if len(good) == len(rows):
        return number(statistics.median(good))
    bad = next(row for row in rows if not is_ok(row))
    if bad["status"] == "does not fit" and column == "peak_mib":
        return f"does not fit: {float(bad['predicted_mib']):,.0f}"
    return bad["status"]


def figures(rows: list[Row], column: str) -> str:
    """Methods by vocabulary size, over the batches that all methods of a size have."""
    vocab = in_order(row["vocab_size"] for row in rows)
    chosen = []
    for size in vocab:
        of_size = select(rows, vocab_size=size)
        batches = common_batches(of_size)
        chosen += [row for row in of_size if row["batch"] in batches]
    lines = [
        [method, *(cell(select(chosen, method=method, vocab_size=v), column) for v in vocab)]
        for method in in_order(row["method"] for row in rows)
    ]
    return markdown(["", *(f"V = {v}" for v in vocab)], lines)


def by_batch(rows: list[Row], column: str) -> str:
    """Batches by method, to show the effect of the shapes."""
    counts = {m: len(select(rows, method=m)) for m in in_order(r["method"] for r in rows)}
    methods = [m for m, n in counts.items() if n == max(counts.values())]
    lines = []
    for batch in sorted({row["batch"] for row in rows}):
        here = select(rows, batch=batch)
        cells = [cell(select(here, method=method), column) for method in methods]
        shape = f"{here[0]['batch_size']} × {here[0]['frames']} × {here[0]['labels']}"
        lines.append([batch, shape, number(float(here[0]["nodes"])), *cells])
    return markdown(["batch", "N × T × U", "nodes", *methods], lines)


def replace_between(path: Path, name: str, text: str) -> None:
    """Put a text between `<!-- name: begin -->` and `<!-- name: end -->`.

    Raises:
        UserError: if the file has no such markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = read_text(path)
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(old):
        raise UserError(f"{path} must hold {begin} and {end}")
    write_text(path, pattern.sub(lambda _: f"{begin}\n{text}\n{end}", old))
