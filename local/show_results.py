#!/usr/bin/env python3
"""A table of results, from the files of training, decoding and measuring.

    show_results.py exp/example_ctc exp/full                prints it
    show_results.py exp/* --header local/results.md --output RESULTS.md
    show_results.py exp/full --measures local/table.json

No number in the table is typed by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from icefall_sampled import checkpoint
from icefall_sampled.cli import run_script
from icefall_sampled.errors import UserError
from icefall_sampled.files import read_text, write_text
from icefall_sampled.model_files import config_of
from icefall_sampled.recipes.results import decoded_on, memory_of, rate, scores_of
from icefall_sampled.recipes.tables.collect import dev_curves
from icefall_sampled.recipes.tables.result import CURVES
from icefall_sampled.recipes.tables.table import Measure, read_table
from icefall_sampled.tables import markdown

MEMORY = ("full, stored", "sampled, stored", "full, pruned", "full, fused", "sampled, fused")
MEASURES = (Measure(unit="words", name="WER %"), Measure(unit="characters", name="CER %"))


def rows_of(exp_dir: Path, measures: Sequence[Measure], losses: Sequence[str]) -> list[list[str]]:
    """A row for each set and decoding, with the model and its memory."""
    state = checkpoint.load(checkpoint.find(exp_dir)[-1])
    sampling = config_of(state)[1].sampling
    classes = "all" if sampling.strategy == "none" else str(sampling.num_sampled)
    memory = memory_of(exp_dir)
    step_mib = [f"{memory[k]:.1f}" if k in memory else "-" for k in losses]
    rows = []
    for settings, scores in scores_of(exp_dir).items():
        for name, score in scores.items():
            rows.append(
                [exp_dir.name, f"{classes} of {state['vocab_size']}", name, settings,
                 *(rate(score[m.unit]) if m.unit in score else "-" for m in measures),
                 f"{score['real_time_factor']:.3f}", *step_mib]
            )  # fmt: skip
    return sorted(rows, key=lambda row: row[2])


def curve(exp_dir: Path, measures: Sequence[Measure]) -> str:
    """The greedy error rate on dev during training, in the first measure with a curve."""
    curves = dev_curves(exp_dir)
    for measure in measures:
        if points := curves.get(CURVES.get(measure.unit, "")):
            steps = ", ".join(f"{step}: {percent:.1f}" for step, _, percent in points)
            return f"{exp_dir.name}, greedy {measure.name} on dev by step: {steps}."
    return f"{exp_dir.name}: no transducer was validated."


def report(exp_dirs: tuple[Path, ...], measures: Sequence[Measure] = MEASURES) -> str:
    """The table, the curves, and their origin.

    Raises:
        UserError: if a folder has no training run.
    """
    if not exp_dirs:
        raise UserError("exp_dirs is empty, it must name at least one run's exp_dir")
    for exp_dir in exp_dirs:
        if not checkpoint.find(exp_dir):
            raise UserError(f"{exp_dir} holds no checkpoint, it must be a run's exp_dir")
    measured = set().union(*map(memory_of, exp_dirs))
    losses = [name for name in MEMORY if name in measured]
    header = [
        "variant", "classes", "set", "decoding", *(m.name for m in measures), "real-time factor",
        *(f"step MiB: {loss}" for loss in losses),
    ]  # fmt: skip
    rows = [row for exp_dir in exp_dirs for row in rows_of(exp_dir, measures, losses)]
    curves = [curve(exp_dir, measures) for exp_dir in exp_dirs]
    blocks = [markdown(header, rows), *curves, decoded_on(exp_dirs)]
    return "\n\n".join(block for block in blocks if block)


def main(
    exp_dirs: tuple[Path, ...],
    /,
    *,
    measures: Path | None = None,
    header: Path | None = None,
    output: Path | None = None,
) -> None:
    """Print a table of results from the files of training, decoding and measuring.

    Args:
        exp_dirs: folders of training runs; a row for each decoding of each test set.
        measures: a recipe's local/table.json, whose measures replace WER and CER.
        header: file with the text before the table in the output file.
        output: also write this Markdown file.
    """
    text = report(exp_dirs, read_table(measures).measures if measures else MEASURES)
    sys.stdout.write(text + "\n")
    if output is not None:
        write_text(output, (read_text(header) + "\n" if header else "") + text + "\n")


if __name__ == "__main__":
    run_script(main)
