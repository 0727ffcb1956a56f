#!/usr/bin/env python3
"""Write the tables of benchmarks/README.md and docs/costs.md and the figures from the results.

    python -m benchmarks.report

No number in these tables is typed by hand.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import decoding_plot, decoding_report, findings, plots, tables
from benchmarks import rows as rows_file
from benchmarks.bench_lattice import COLUMNS as LATTICE_COLUMNS
from benchmarks.bench_loss import RESULTS
from benchmarks.machine import ROOT
from benchmarks.profile_loss import COLUMNS as PROFILE_COLUMNS
from benchmarks.rows import Row
from benchmarks.tables import in_order, is_ok, markdown, select
from icefall_sampled.cli import UserError, run_script

SHORT = ("k2 full", "k2 pruned", "fast_rnnt pruned", "naive sampled", "fused full",
         "fused full + draft", "fused sampled", "fused sampled + draft")  # fmt: skip
"""The methods of the short table."""

MARK, DECODING_MARK = "benchmark", "decoding"
LONG, SHORT_IN = RESULTS.parent / "README.md", ROOT / "docs/costs.md"


def long_text(losses: list[Row], growth: list[Row], profile: list[Row], lattice: list[Row]) -> str:
    """All tables, for benchmarks/README.md.

    Raises:
        UserError: if losses differ that should be the same number.
    """
    flushed = select(losses, flush="True")
    parts = ["### What was to be reached", findings.goals(losses)]
    for source in in_order(row["posteriors"] for row in flushed):
        here = select(flushed, posteriors=source)
        parts += [
            f"### Peak memory in MiB, {source} posteriors", tables.figures(here, "peak_mib"),
            f"### Time in seconds, {source} posteriors", tables.figures(here, "seconds"),
        ]  # fmt: skip
    medium = select(flushed, vocab_size="2000")
    for source in in_order(row["posteriors"] for row in medium):
        here = select(medium, posteriors=source)
        parts += [
            f"### By batch: seconds at V = 2000, {source} posteriors",
            tables.by_batch(here, "seconds"),
        ]  # fmt: skip
    parts += [
        "### Nodes that were computed", findings.nodes(flushed),
        "### Denormal numbers", findings.denormals(losses),
        "### Where the time goes", findings.profile(profile),
        "### The lattice alone", findings.lattice(lattice),
        "### Growth", findings.growth(growth),
        "### Agreement",
        f"Largest relative distance from the median of what should be one number: "
        f"{findings.agreement(losses)}.",
        f"A draft makes a loss larger, relatively and at the most: {findings.draft_error(losses)}.",
        "### Where and with what", provenance([*losses, *growth]),
    ]  # fmt: skip
    return "\n\n".join(parts)


def short_text(losses: list[Row]) -> str:
    """The most important figures, for docs/costs.md."""
    rows = select(losses, flush="True", vocab_size="2000")
    header, lines = [""], [[method] for method in SHORT]
    for column, unit in (("peak_mib", "MiB"), ("seconds", "s")):
        for source in ("random", "trained"):
            here = select(rows, posteriors=source)
            batches = tables.common_batches(here)
            here = [row for row in here if row["batch"] in batches]
            header.append(f"{unit}, {source}")
            for line in lines:
                line.append(tables.cell(select(here, method=line[0]), column))
    return markdown(header, [line for line in lines if set(line[1:]) != {"–"}])


def provenance(rows: list[Row]) -> str:
    """Machines, versions and commits of the rows."""
    lines = []
    for name, columns in (
        ("machine", ("machine", "cores", "ram_gib", "os")),
        ("threads of a measurement", ("threads",)),
        ("environments", ("environment", "python", "torch")),
        ("peers", ("method", "peer_version")),
        ("code", ("commit", "dirty")),
        ("trained model", ("model",)),
    ):
        seen = dict.fromkeys(tuple(row[c] for c in columns) for row in rows if is_ok(row))
        if name == "peers":
            seen = dict.fromkeys(x for x in seen if x[1])
        values = [" ".join(x for x in value if x) for value in seen]
        lines.append(f"- {name}: {'; '.join(sorted(filter(None, values)))}")
    lines.append(f"- measurements: {findings.disturbed(rows)}")
    text = "\n".join(lines)
    return text.replace(" False", "").replace(" True", ", with changes not committed")


def write(folder: Path, *, long: Path, short: Path) -> None:
    """Read the results in a folder; write the tables, and the figures into that folder."""
    losses = rows_file.newest(rows_file.read(folder / "losses.csv"))
    growth = rows_file.newest(rows_file.read(folder / "growth.csv"))
    profile = rows_file.read(folder / "profile.csv", columns=PROFILE_COLUMNS)
    lattice = rows_file.read(folder / "lattice.csv", columns=LATTICE_COLUMNS)
    if not losses:
        raise UserError(f"results is {folder}, it must hold losses.csv with a row or more")
    tables.replace_between(long, MARK, long_text(losses, growth, profile, lattice))
    tables.replace_between(short, MARK, short_text(losses))
    plots.draw_losses(losses, folder / "losses.png")
    if growth:
        plots.draw_growth(growth, folder / "growth.png")
    write_decoding(folder, long=long, short=short)


def write_decoding(folder: Path, *, long: Path, short: Path) -> None:
    """The same for the searches, if they have results."""
    times, errors, whole = decoding_report.read(folder)
    if times and errors:
        tables.replace_between(long, DECODING_MARK, decoding_report.text(times, errors, whole))
        tables.replace_between(short, DECODING_MARK, decoding_report.short(times, errors))
        decoding_plot.draw(times, errors, folder / "decoding.png")


def main(
    *,
    results: Path = RESULTS,
    long: Path = LONG,
    short: Path = SHORT_IN,
) -> None:
    """Write tables and figures from the results.

    Args:
        results: folder of losses.csv, growth.csv, profile.csv, lattice.csv and the files of the
            searches, and for the figures.
        long: Markdown file for all tables, between its markers.
        short: Markdown file for the most important one.
    """
    write(results, long=long, short=short)


if __name__ == "__main__":
    run_script(main)
