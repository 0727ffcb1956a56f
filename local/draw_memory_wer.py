"""Figure 3(a) of the paper from our own runs: memory of a training step against error rate.

    draw_memory_wer.py local/paper_table.json exp memory_wer.png --test-set test-other

Memory is what `icefall_sampled.memory measure` wrote into a run's folder: the peak of one step on
the longest utterances that fill a batch, with all logits of the lattice stored, as the paper has
them (hollow), and fused, as we train (filled). The paper's axis is memory per training example on
its GPU, and its points are not in its text: so only ours are drawn. A run that was not decoded or
not measured has no point.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from icefall_sampled.files import replacing
from icefall_sampled.results import PaperTable, memory_of, percent, read_table, scores_of
from icefall_sampled.script import run_script

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A run in the figure."""

    variant: str
    stored_mib: float
    fused_mib: float
    error_percent: float


def points_of(table: PaperTable, exp_root: Path, *, test_set: str) -> list[Point]:
    """The runs that have both numbers, with the best of their decodings."""
    kind = "words" if table.unit == "WER" else "characters"
    points = []
    for row in table.rows:
        exp_dir = exp_root / row.variant
        memory = memory_of(exp_dir)
        rates = [
            value
            for scores in scores_of(exp_dir).values()
            if test_set in scores and (value := percent(scores[test_set][kind])) is not None
        ]
        softmax = "sampled" if "sampled, fused" in memory else "full"
        if memory and rates:
            points.append(
                Point(
                    variant=row.variant,
                    stored_mib=memory[f"{softmax}, stored"],
                    fused_mib=memory[f"{softmax}, fused"],
                    error_percent=min(rates),
                )
            )
    return points


def draw(points: list[Point], path: Path, *, label: str) -> None:
    """Draw the points as a PNG."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for number, point in enumerate(points):
        color = f"C{number % 10}"
        both, rates = [point.fused_mib, point.stored_mib], [point.error_percent] * 2
        axes.plot(both, rates, color=color, linewidth=0.8)
        axes.plot(both[:1], rates[:1], "o", color=color, label=point.variant)
        axes.plot(both[1:], rates[1:], "o", color=color, markerfacecolor="none")
    axes.set_xlabel("MiB at the peak of a training step (hollow: logits stored, filled: fused)")
    axes.set_ylabel(label)
    axes.set_xlim(left=0)
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    plt.close(figure)


def main(table: Path, exp_root: Path, output: Path, /, *, test_set: str) -> None:
    """Draw memory against error rate.

    Args:
        table: a recipe's local/paper_table.json.
        exp_root: folder that holds a folder for each row's run.
        output: PNG to write.
        test_set: whose error rate it is.
    """
    paper = read_table(table)
    if test_set not in paper.sets:
        raise ValueError(f"test_set is {test_set!r}, it must be one of {', '.join(paper.sets)}")
    points = points_of(paper, exp_root, test_set=test_set)
    if not points:
        logger.info("no run in %s was both decoded and measured: no figure", exp_root)
        return
    draw(points, output, label=f"{paper.unit} % on {test_set}")
    logger.info("%s: %d runs", output, len(points))


if __name__ == "__main__":
    run_script(main)
