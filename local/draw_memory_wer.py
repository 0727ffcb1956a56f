"""Figure 3(a) of the paper from our own runs: memory of a training step against error rate.

    draw_memory_wer.py local/paper_table.json exp memory_wer.png --test-set test-other

Memory is read from the result of `icefall_sampled.memory measure` in a run's folder: the peak of
one step on the longest utterances that fill a batch, with all logits of the lattice stored, as in
the paper (hollow), and with the fused loss, as we train (filled). The paper's axis is memory per
training example on its GPU, and its text does not give the points: so only ours are drawn. A run
that was not decoded or not measured has no point.
"""

from __future__ import annotations

import logging
from pathlib import Path

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.recipes.results import (
    PaperTable,
    memory_of,
    percent,
    read_table,
    scores_of,
    step_mib,
)
from icefall_sampled.recipes.tables.figure import Point, draw

logger = logging.getLogger(__name__)


def points_of(table: PaperTable, exp_root: Path, *, test_set: str) -> list[Point]:
    """The runs that have both numbers, each with its best decoding."""
    kind = "words" if table.unit == "WER" else "characters"
    points = []
    for row in table.rows:
        exp_dir = exp_root / row.variant
        step, stored = step_mib(memory_of(exp_dir))
        rates = [
            value
            for scores in scores_of(exp_dir).values()
            if test_set in scores and (value := percent(scores[test_set][kind])) is not None
        ]
        if step is not None and rates:
            points.append(
                Point(name=row.variant, step_mib=step, stored_mib=stored, error_percent=min(rates))
            )
    return points


def main(table: Path, exp_root: Path, output: Path, /, *, test_set: str) -> None:
    """Draw memory against error rate.

    Args:
        table: a recipe's local/paper_table.json.
        exp_root: folder with a subfolder for each row's run.
        output: PNG to write.
        test_set: the error rate is that of this set.
    """
    paper = read_table(table)
    if test_set not in paper.sets:
        raise UserError(f"test_set is {test_set!r}, it must be one of {', '.join(paper.sets)}")
    points = points_of(paper, exp_root, test_set=test_set)
    if not points:
        logger.info("no run in %s was both decoded and measured: no figure", exp_root)
        return
    draw(points, output, label=f"{paper.unit} % on {test_set}")
    logger.info("%s: %d runs", output, len(points))


if __name__ == "__main__":
    run_script(main)
