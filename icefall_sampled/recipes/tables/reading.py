"""The results of a table's runs, from their files, and the errors that they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icefall_sampled.errors import UserError
from icefall_sampled.recipes.tables.bootstrap import Floats
from icefall_sampled.recipes.tables.result import RunResult, path_of, read_result
from icefall_sampled.recipes.tables.table import Decoding, Measure, SeedTable

Results = dict[str, list[RunResult]]
"""By variant, a result for each seed."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Errors on a set, in one decoding and one unit."""

    errors: Floats
    """(S, N) of each utterance, with each seed."""
    reference: Floats
    """(N,) units in the reference of each utterance."""


def read_results(folder: Path, table: SeedTable) -> Results:
    """The results of a table's runs, those that there are.

    Raises:
        UserError: where a file cannot be used, or two of them are not of the same table: of other
            steps, other utterances in a set, or, in one row, of another configuration.
    """
    results: Results = {row.variant: [] for row in table.rows}
    known: dict[str, tuple[object, Path]] = {}
    for row in table.rows:
        for seed in table.seeds:
            path = path_of(folder, row.variant, seed)
            if not path.is_file():
                continue
            result = read_result(path)
            if (result.trained.variant, result.trained.seed) != (row.variant, seed):
                raise UserError(
                    f"{path} is of {result.trained.variant}, seed {result.trained.seed}: its name "
                    "must be that of its run"
                )
            for what, value in _in_common(result):
                first, where = known.setdefault(what, (value, path))
                if value != first:
                    raise UserError(f"{path} has other {what} than {where}, it must be the same")
            results[row.variant].append(result)
    return results


def _in_common(result: RunResult) -> Iterator[tuple[str, object]]:
    """What all results of a table must have alike, if they have it: its name and what it is."""
    yield "steps of training", result.trained.steps
    yield f"flags or settings of {result.trained.variant}", result.config
    for name, part in result.sets.items():
        yield f"utterances in {name}", (part.ids, part.words, part.characters)


def decoded_so(runs: Iterable[RunResult], name: str, *decodings: Decoding) -> list[RunResult]:
    """The runs that have the errors on a set in all of these decodings."""
    settings = {decoding.settings for decoding in decodings}
    return [run for run in runs if name in run.sets and settings <= run.sets[name].decodings.keys()]


def counts_of(
    runs: Iterable[RunResult], name: str, decoding: Decoding, measure: Measure
) -> Counts | None:
    """The errors on a set; None where no run has them."""
    settings = decoding.settings
    parts = [run.sets[name] for run in decoded_so(runs, name, decoding)]
    if not parts:
        return None
    if measure.unit == "utterances":
        wrong = np.array([part.decodings[settings].words for part in parts]) > 0
        return Counts(errors=wrong.astype(np.float64), reference=np.ones(wrong.shape[1]))
    errors = [getattr(part.decodings[settings], measure.unit) for part in parts]
    reference = getattr(parts[0], measure.unit)
    return Counts(
        errors=np.array(errors, dtype=np.float64),
        reference=np.array(reference, dtype=np.float64),
    )
