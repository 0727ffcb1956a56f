"""The results of a recipe beside those of the paper, from the files of its runs.

    show_table.py local/paper_table.json exp --output RESULTS.md [--figure memory_wer.png]
    show_table.py local/paper_table.json exp --print-rows [--rows full_500]    the rows' names
    show_table.py local/paper_table.json exp --print-decode                    decode.py's flags

A row that was not trained and decoded is "not run". Our numbers are never typed by hand, and those
of the paper are only in paper_table.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from icefall_sampled.cli import run_script
from icefall_sampled.files import read_text, write_text
from icefall_sampled.recipes.results import (
    NOT_RUN,
    PaperRow,
    PaperTable,
    decoded_on,
    rate,
    read_table,
    scores_of,
    steps_of,
)
from icefall_sampled.tables import markdown

TRAINED = ".done/1-train"
"""File in a run's folder in which run_table.sh notes changes to the variant."""


def lines_of(table: PaperTable, row: PaperRow, exp_dir: Path) -> list[list[str]]:
    """A line for each decoding of a row, or one line that says "not run"."""
    kind = "words" if table.unit == "WER" else "characters"
    begin = [row.group, str(row.vocab_size), row.sampled, row.auxiliary, row.variant]
    lines = []
    for settings, scores in scores_of(exp_dir).items():
        ours = [rate(scores[name][kind]) if name in scores else NOT_RUN for name in table.sets]
        lines.append([*begin, str(steps_of(exp_dir)), settings, *_in_turn(row.paper, ours)])
    ours = [NOT_RUN] * len(table.sets)
    return lines or [[*begin, "-", "-", *_in_turn(row.paper, ours)]]


def _in_turn(paper: tuple[str, ...], ours: list[str]) -> list[str]:
    return [cell for pair in zip(paper, ours, strict=True) for cell in pair]


def changes(table: PaperTable, exp_root: Path) -> list[str]:
    """The rows whose training differs from their variant, and the differences."""
    found = []
    for row in table.rows:
        marker = exp_root / row.variant / TRAINED
        flags = read_text(marker).strip() if marker.is_file() else ""
        if flags:
            found.append(f"`{row.variant}` was trained with `{flags}`.")
    return found


def report(table: PaperTable, exp_root: Path, *, figure: Path | None) -> str:
    """The text of RESULTS.md."""
    columns = [cell for name in table.sets for cell in (f"{name}: paper", "ours")]
    header = ["", "V", "K", "auxiliary", "variant", "steps", "decoding", *columns]
    lines = [line for row in table.rows for line in lines_of(table, row, exp_root / row.variant)]
    decoding = f"The paper decodes by {table.decoding}; how ours were decoded is in the table."
    blocks = [f"# {table.title}", *table.notes, decoding, markdown(header, lines)]
    blocks += changes(table, exp_root)
    if figure is not None and figure.is_file():
        blocks.append(f"![Memory of a training step against {table.unit}]({figure.name})")
    blocks.append(decoded_on(exp_root / row.variant for row in table.rows))
    return "\n\n".join(block for block in blocks if block) + "\n"


def main(
    table: Path,
    exp_root: Path,
    /,
    *,
    output: Path | None = None,
    figure: Path | None = None,
    rows: tuple[str, ...] = (),
    print_rows: bool = False,
    print_decode: bool = False,
) -> None:
    """Write the results of a recipe beside those of the paper.

    Args:
        table: a recipe's local/paper_table.json.
        exp_root: folder with a subfolder for each row's run.
        output: Markdown file to write instead of printing.
        figure: picture to show, if the file exists.
        rows: rows for `print_rows`; none for all.
        print_rows: only print the names of the rows.
        print_decode: only print the flags of decode.py.
    """
    paper = read_table(table)
    chosen = [paper.row(name).variant for name in rows] or [row.variant for row in paper.rows]
    if print_rows:
        sys.stdout.writelines(f"{name}\n" for name in chosen)
    elif print_decode:
        sys.stdout.writelines(f"{flag}\n" for flag in paper.decode_flags)
    elif output is None:
        sys.stdout.write(report(paper, exp_root, figure=figure))
    else:
        write_text(output, report(paper, exp_root, figure=figure))


if __name__ == "__main__":
    run_script(main)
