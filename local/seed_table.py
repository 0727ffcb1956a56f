"""The table of a recipe over seeds, from the results in its results folder alone.

    seed_table.py local/table.json results --output RESULTS.md
    seed_table.py local/table.json results --print-runs [--rows full] [--seeds 1 2]
    seed_table.py local/table.json results --print-decodings full     decode.py's flags
    seed_table.py local/table.json results --print-places

Of the last three the first prints the runs that there are to be, the second a line for each
decoding, and the third the folder of the data and the file that run_table.sh writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.files import read_text, write_text
from icefall_sampled.recipes.tables.figure import draw
from icefall_sampled.recipes.tables.reading import read_results
from icefall_sampled.recipes.tables.report import points_of, report
from icefall_sampled.recipes.tables.result import path_of, read_result
from icefall_sampled.recipes.tables.table import SeedTable, read_table


def main(
    table: Path,
    results: Path,
    /,
    *,
    output: Path | None = None,
    print_runs: bool = False,
    print_decodings: str = "",
    print_places: bool = False,
    rows: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    changes: str | None = None,
) -> None:
    """Write the table of a recipe over seeds.

    Args:
        table: a recipe's local/table.json.
        results: folder with a file for each run.
        output: Markdown file to write, in place of printing it; the figure goes beside it,
            as a PNG of the same name.
        print_runs: print a line with variant and seed for each run, and do no more.
        print_decodings: print the flags of decode.py for this row, and do no more.
        print_places: print a line with the table's data_dir and one with its output.
        rows: of which `print_runs` speaks; none for all.
        seeds: of which `print_runs` speaks; none for the table's.
        changes: to the variants; a run that has a result must have been trained with the same.
    """
    wanted = read_table(table)
    if print_runs:
        chosen = [wanted.row(name).variant for name in rows] or [r.variant for r in wanted.rows]
        runs = [(variant, seed) for variant in chosen for seed in chosen_seeds(wanted, seeds)]
        if changes is not None:
            check_changes(results, runs, changes)
        sys.stdout.writelines(f"{variant} {seed}\n" for variant, seed in runs)
    elif print_decodings:
        for decoding in wanted.decodings_of(print_decodings):
            sys.stdout.write(" ".join([*decoding.flags, "--sets", *wanted.sets]) + "\n")
    elif print_places:
        sys.stdout.write(f"{wanted.data_dir}\n{wanted.output}\n")
    else:
        write(wanted, results, output, header=read_text(table.parent / wanted.header))


def chosen_seeds(table: SeedTable, seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds that are asked for, or all of the table's: it shows no others."""
    for seed in seeds:
        if seed not in table.seeds:
            known = ", ".join(map(str, table.seeds))
            raise UserError(f"seeds: {seed} is not in the table, it must be among {known}")
    return seeds or table.seeds


def check_changes(results: Path, runs: list[tuple[str, int]], changes: str) -> None:
    """Raise UserError where a run that is done was trained with other flags."""
    for path in (path_of(results, variant, seed) for variant, seed in runs):
        if path.is_file() and (was := read_result(path).trained.changes) != changes.strip():
            raise UserError(
                f"{path} was trained with --train '{was}' and not with '{changes}': choose another "
                "folder for results, or remove it"
            )


def write(table: SeedTable, results: Path, output: Path | None, *, header: str) -> None:
    """Write the table and its figure, or print the table."""
    found = read_results(results, table)
    if output is None:
        sys.stdout.write(report(table, found, header=header, figure=None))
        return
    figure, points = output.with_suffix(".png"), points_of(table, found)
    if points:
        draw(points, figure, label=table.figure_label)
    write_text(output, report(table, found, header=header, figure=figure))


if __name__ == "__main__":
    run_script(main)
