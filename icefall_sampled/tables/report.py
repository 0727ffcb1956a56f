"""RESULTS.md of a table over seeds, from the results of its runs alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from icefall_sampled.results import NOT_RUN, markdown, step_mib
from icefall_sampled.tables.bootstrap import RESAMPLES, Floats, difference, error_rates
from icefall_sampled.tables.figure import Point
from icefall_sampled.tables.result import RunResult, SetErrors, path_of, read_result
from icefall_sampled.tables.table import Decoding, Measure, SeedTable

Results = dict[str, list[RunResult]]
"""By variant, a result for each seed."""


def read_results(folder: Path, table: SeedTable) -> Results:
    """The results of a table's runs, those that there are.

    Raises:
        ValueError: where a file cannot be used, or two of them disagree on the utterances of a set.
    """
    results: Results = {row.variant: [] for row in table.rows}
    utterances: dict[str, tuple[SetErrors, Path]] = {}
    for row in table.rows:
        for seed in table.seeds:
            path = path_of(folder, row.variant, seed)
            if not path.is_file():
                continue
            result = read_result(path)
            if (result.trained.variant, result.trained.seed) != (row.variant, seed):
                raise ValueError(
                    f"{path} is of {result.trained.variant}, seed {result.trained.seed}: its name "
                    "must be that of its run"
                )
            _same_utterances(result, path, utterances)
            results[row.variant].append(result)
    return results


def _same_utterances(
    result: RunResult, path: Path, known: dict[str, tuple[SetErrors, Path]]
) -> None:
    """Raise ValueError where a set is not the one that other results have."""
    for name, part in result.sets.items():
        first, where = known.setdefault(name, (part, path))
        if (part.ids, part.words, part.characters) != (first.ids, first.words, first.characters):
            raise ValueError(
                f"{name} in {path} has other utterances than in {where}, it must be the same set"
            )


def errors_of(
    runs: Iterable[RunResult], name: str, decoding: Decoding, measure: Measure
) -> tuple[Floats, Floats] | None:
    """(S, N) errors on a set, and the (N,) units of its references; None where no run has them."""
    settings = decoding.settings
    parts = [
        run.sets[name] for run in runs if name in run.sets and settings in run.sets[name].decodings
    ]
    if not parts:
        return None
    if measure.unit == "utterances":
        wrong = np.array([part.decodings[settings].words for part in parts]) > 0
        return wrong.astype(np.float64), np.ones(wrong.shape[1])
    errors = [getattr(part.decodings[settings], measure.unit) for part in parts]
    reference = getattr(parts[0], measure.unit)
    return np.array(errors, dtype=np.float64), np.array(reference, dtype=np.float64)


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
    decoding = next(d for d in table.decodings if d.name == table.figure_decoding)
    points = []
    for row in table.rows:
        errors = errors_of(results[row.variant], table.figure_set, decoding, table.measures[0])
        step, stored = mean_mib(results[row.variant])
        if errors is not None and step is not None:
            rates = error_rates(*errors)
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
    blocks = [header.strip(), "## Rows", _rows(table, results), *_changes(results), _legend(table)]
    for name in table.shown:
        for decoding in table.decodings:
            blocks += [f"## {name}, {decoding.name}", _errors(table, results, name, decoding)]
    if figure is not None and figure.is_file():
        what = f"Memory of a training step against {table.figure_label}"
        blocks.append(f"![{what}]({figure.name})")
    blocks += ["## Where it was measured", *_origins(results)]
    return "\n\n".join(blocks) + "\n"


def _legend(table: SeedTable) -> str:
    """What the numbers are."""
    count = len(table.seeds)
    narrow = (
        f"It is somewhat too narrow: {count} seeds that are drawn again show "
        f"{100 * (count - 1) / count:.0f} % of the variance between seeds."
        if count > 1
        else "With one seed it says nothing of the variance between seeds."
    )
    return (
        "Error rates are means over the seeds, ± their standard deviation. A difference is that of "
        f"two means, with its 95 % interval by paired bootstrap: {RESAMPLES:,} times utterances "
        f"are drawn, in common for both rows, and seeds, for each row by itself. {narrow} An "
        "interval without zero is a difference by more than chance."
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


def _errors(table: SeedTable, results: Results, name: str, decoding: Decoding) -> str:
    """The errors of all rows on a set, in one decoding."""
    columns = [cell for m in table.measures for cell in (m.name, f"minus {table.baseline}")]
    lines = []
    for row in table.rows:
        cells = [row.variant, _how_many(table, results[row.variant])]
        for measure in table.measures:
            mine = errors_of(results[row.variant], name, decoding, measure)
            other = errors_of(results[table.baseline], name, decoding, measure)
            rates = mean_and_spread(error_rates(*mine)) if mine else "-"
            is_baseline = row.variant == table.baseline
            cells += [rates, "" if is_baseline else _minus(mine, other)]
        lines.append(cells)
    return markdown(["row", "seeds", *columns], lines)


def _minus(mine: tuple[Floats, Floats] | None, other: tuple[Floats, Floats] | None) -> str:
    if mine is None or other is None:
        return "-"
    found = difference(mine[0], other[0], mine[1])
    return f"{found.estimate:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


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
