"""RESULTS.md of a table over seeds, from the results of its runs alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icefall_sampled.recipes.results import NOT_RUN, step_mib
from icefall_sampled.recipes.tables.bootstrap import RESAMPLES, difference, error_rates
from icefall_sampled.recipes.tables.figure import Point
from icefall_sampled.recipes.tables.reading import Counts, Results, counts_of, decoded_so
from icefall_sampled.recipes.tables.result import CURVES, RunResult
from icefall_sampled.recipes.tables.table import Comparison, Decoding, Measure, SeedTable
from icefall_sampled.tables import markdown


@dataclass
class Differences:
    """Differences as cells of a report, which says how many of them it shows."""

    shown: int = 0

    def cell(self, mine: Counts | None, other: Counts | None, *, paired_seeds: bool = False) -> str:
        """The first minus the second, and its interval."""
        if mine is None or other is None:
            return "-"
        self.shown += 1
        found = difference(mine.errors, other.errors, mine.reference, paired_seeds=paired_seeds)
        text = f"{found.estimate:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
        single = min(len(mine.errors), len(other.errors)) == 1
        return f"{text}, 1 seed" if single else text


def mean_and_spread(values: Iterable[float], *, digits: int = 2) -> str:
    """Mean ± standard deviation of a sample, which one value does not have."""
    numbers = list(values)
    mean = f"{np.mean(numbers):.{digits}f}"
    return mean if len(numbers) == 1 else f"{mean} ± {np.std(numbers, ddof=1):.{digits}f}"


def mean_mib(runs: list[RunResult]) -> tuple[float | None, float | None]:
    """Peak MiB of a step, as trained and with stored logits: means over the seeds, if measured."""
    both = [step_mib(run.memory_mib) for run in runs]
    steps = [step for step, _ in both if step is not None]
    stored = [mib for _, mib in both if mib is not None]
    return (
        float(np.mean(steps)) if steps else None,
        float(np.mean(stored)) if stored else None,
    )


def points_of(table: SeedTable, results: Results) -> list[Point]:
    """The rows that the figure shows: those that were measured and decoded as it wants."""
    decoding = table.decoding(table.figure_decoding)
    points = []
    for row in table.rows:
        counts = counts_of(results[row.variant], table.figure_set, decoding, table.measures[0])
        step, stored = mean_mib(results[row.variant])
        if counts is not None and step is not None:
            rates = error_rates(counts.errors, counts.reference)
            points.append(
                Point(
                    name=row.variant, step_mib=step, stored_mib=stored,
                    error_percent=float(rates.mean()),
                    spread_percent=float(rates.std(ddof=1)) if len(rates) > 1 else 0.0,
                )
            )  # fmt: skip
    return points


def report(table: SeedTable, results: Results, *, header: str, figure: Path | None) -> str:
    """RESULTS.md.

    Args:
        table: says what is shown.
        results: of its runs.
        header: the text that comes first.
        figure: a picture that is shown, if it is there.
    """
    differences = Differences()
    errors = [
        block
        for name in table.shown
        for decoding in table.decodings
        for block in (
            f"## {name}, {decoding.name}",
            _errors(table, results, name, decoding, differences),
        )
    ]
    compared = _comparisons(table, results, differences)
    blocks = [
        header.strip(), "## Rows", _rows(table, results), *_changes(results),
        _legend(differences), *errors, *compared, *_curves(table, results),
    ]  # fmt: skip
    if figure is not None and figure.is_file():
        what = f"Memory of a training step against {table.figure_label}"
        blocks.append(f"![{what}]({figure.name})")
    blocks += ["## Where it was measured", *_origins(results)]
    return "\n\n".join(blocks) + "\n"


def _legend(differences: Differences) -> str:
    """What the numbers are."""
    many = f" {differences.shown} intervals are shown: some lack zero by chance alone."
    return (
        "Error rates are means over the seeds, ± their standard deviation. A difference is that of "
        f"two means, and its interval holds 95 % of {RESAMPLES:,} bootstrap samples: utterances "
        "are drawn in common for both sides; seeds for each row by itself, or in common where both "
        "sides are the same models. The 95 % are nominal: of simulated intervals between rows of "
        "three seeds that did not differ, 0.5 % lacked zero where seeds did not differ either, and "
        "14 % where seeds differed much (icefall_sampled/recipes/tables/bootstrap.py). Where a "
        "side has 1 seed, the interval lacks the variance between seeds and says nothing of other "
        "seeds." + (many if differences.shown else "")
    )


def _rows(table: SeedTable, results: Results) -> str:
    """What the rows are, and what their training took."""
    header = ["row", "", "classes", "seeds", "steps", "processor seconds", "step MiB",
              "logits stored"]  # fmt: skip
    lines = []
    for row in table.rows:
        runs = results[row.variant]
        steps = dict.fromkeys(str(run.trained.steps) for run in runs)
        seconds = [s for run in runs if (s := run.trained.processor_seconds) is not None]
        lines.append([
            row.variant, row.description, row.classes, _how_many(table, runs),
            ", ".join(steps) or "-", f"{np.mean(seconds):.0f}" if seconds else "-",
            *("-" if mib is None else f"{mib:.1f}" for mib in mean_mib(runs)),
        ])  # fmt: skip
    return markdown(header, lines)


def _how_many(table: SeedTable, runs: list[RunResult]) -> str:
    wanted = len(table.seeds)
    if not runs:
        return NOT_RUN
    return str(wanted) if len(runs) == wanted else f"{len(runs)} of {wanted}"


def _errors(
    table: SeedTable, results: Results, name: str, decoding: Decoding, differences: Differences
) -> str:
    """The errors of all rows on a set, in one decoding."""
    columns = [cell for m in table.measures for cell in (m.name, f"minus {table.baseline}")]
    lines = []
    for row in table.rows:
        cells = [row.variant, _how_many(table, results[row.variant])]
        for measure in table.measures:
            mine = counts_of(results[row.variant], name, decoding, measure)
            other = counts_of(results[table.baseline], name, decoding, measure)
            rates = mean_and_spread(error_rates(mine.errors, mine.reference)) if mine else "-"
            is_baseline = row.variant == table.baseline
            cells += [rates, "" if is_baseline else differences.cell(mine, other)]
        lines.append(cells)
    return markdown(["row", "seeds", *columns], lines)


def _comparisons(table: SeedTable, results: Results, differences: Differences) -> list[str]:
    """What the table compares besides, if anything: a table for each set."""
    if not table.comparisons:
        return []
    header = ["row", "decoding", *(measure.name for measure in table.measures)]
    blocks = ["## Other differences"]
    for name in table.shown:
        lines = [_compared(table, results, name, c, differences) for c in table.comparisons]
        blocks += [f"### {name}", markdown(header, lines)]
    return blocks


def _compared(
    table: SeedTable, results: Results, name: str, comparison: Comparison, differences: Differences
) -> list[str]:
    """A comparison on a set: what is subtracted from what, and by each measure the difference."""
    mine, other = table.sides_of(comparison)
    same_models = mine.row == other.row
    runs, others = results[mine.row.variant], results[other.row.variant]
    if same_models:
        runs = others = decoded_so(runs, name, mine.decoding, other.decoding)
    cells = [
        differences.cell(
            counts_of(runs, name, mine.decoding, measure),
            counts_of(others, name, other.decoding, measure),
            paired_seeds=same_models,
        )
        for measure in table.measures
    ]
    rows = dict.fromkeys([mine.row.variant, other.row.variant])
    decodings = dict.fromkeys([mine.decoding.name, other.decoding.name])
    return [" minus ".join(rows), " minus ".join(decodings), *cells]


def _curves(table: SeedTable, results: Results) -> list[str]:
    """How errors on dev fell in training, and how much time that took, if anything is known."""
    measure = next((m for m in table.measures if m.unit in CURVES), None)
    if measure is None:
        return []
    lines = {row.variant: _curve(results[row.variant], measure) for row in table.rows}
    steps = sorted({step for line in lines.values() for step in line})
    if not steps:
        return []
    rows = [[variant, *(line.get(step, "-") for step in steps)] for variant, line in lines.items()]
    return [
        "## dev, in training",
        f"{measure.name} of greedy search at each validation, mean over the seeds, and the "
        "processor seconds until then, where they are known.",
        markdown(["row", *(f"step {step}" for step in steps)], rows),
    ]


def _curve(runs: list[RunResult], measure: Measure) -> dict[int, str]:
    """By step, the mean error rate and the mean time until then."""
    points: dict[int, list[tuple[float | None, float]]] = {}
    for run in runs:
        for step, seconds, percent in run.dev_curves.get(CURVES[measure.unit], ()):
            points.setdefault(step, []).append((seconds, percent))
    cells = {}
    for step, found in points.items():
        times = [seconds for seconds, _ in found if seconds is not None]
        time = f", {np.mean(times):.0f} s" if times else ""
        cells[step] = f"{np.mean([percent for _, percent in found]):.1f}{time}"
    return cells


def _changes(results: Results) -> list[str]:
    """The runs that were trained otherwise than their variants say, and how."""
    return [
        f"`{run.trained.variant}`, seed {run.trained.seed}, was trained with "
        f"`{run.trained.changes}`."
        for runs in results.values()
        for run in runs
        if run.trained.changes
    ]


def _origins(results: Results) -> list[str]:
    """By which code and on which machines runs were trained and decoded."""
    trained: dict[str, list[RunResult]] = {}
    decoded: dict[str, list[RunResult]] = {}
    for runs in results.values():
        for run in runs:
            by = run.trained
            where = f"Commit {by.commit}, torch {by.torch}, {by.lattice}, {by.machine}."
            trained.setdefault(where, []).append(run)
            for where in run.decoded:
                decoded.setdefault(where, []).append(run)
    lines = [f"- {_names(runs)} trained by: {where}" for where, runs in trained.items()]
    lines += [f"- {_names(runs)} decoded by: {where}" for where, runs in decoded.items()]
    return ["\n".join(lines) or "Nothing has been run yet."]


def _names(runs: list[RunResult]) -> str:
    """Variants, each with its seeds."""
    seeds: dict[str, list[str]] = {}
    for run in runs:
        seeds.setdefault(run.trained.variant, []).append(str(run.trained.seed))
    return ", ".join(f"{variant} ({', '.join(found)})" for variant, found in seeds.items())
