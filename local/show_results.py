#!/usr/bin/env python3
"""The table of results, from the files that training, decoding and measuring wrote.

    show_results.py exp/example_ctc exp/full                print
    show_results.py exp/* --header local/results.md --output RESULTS.md

No number in such a table is typed by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from icefall_sampled import checkpoint
from icefall_sampled.config import Config
from icefall_sampled.config_json import from_json
from icefall_sampled.results import decoded_on, markdown, memory_of, rate, scores_of
from icefall_sampled.script import run_script
from icefall_sampled.tables.collect import dev_curves

MEMORY = ("full, stored", "sampled, stored", "full, fused", "sampled, fused")


def rows_of(exp_dir: Path) -> list[list[str]]:
    """A row for each set and each way that it was decoded, the model and its memory beside it."""
    state = checkpoint.load(checkpoint.find(exp_dir)[-1])
    sampling = from_json(Config, state["config"]).sampling
    classes = "all" if sampling.strategy == "none" else str(sampling.num_sampled)
    memory = memory_of(exp_dir)
    step_mib = [f"{memory[k]:.1f}" if k in memory else "-" for k in MEMORY]
    rows = []
    for settings, scores in scores_of(exp_dir).items():
        for name, score in scores.items():
            rows.append(
                [exp_dir.name, f"{classes} of {state['vocab_size']}", name, settings,
                 rate(score["words"]), rate(score["characters"]),
                 f"{score['real_time_factor']:.3f}", *step_mib]
            )  # fmt: skip
    return sorted(rows, key=lambda row: row[2])


def curve(exp_dir: Path) -> str:
    """How the greedy error rate on dev fell while the run was trained."""
    curves = dev_curves(exp_dir)
    if not curves:
        return f"{exp_dir.name}: no transducer was validated."
    name, points = next(iter(curves.items()))
    unit = name.removesuffix("_percent").upper()
    steps = ", ".join(f"{step}: {percent:.1f}" for step, percent in points)
    return f"{exp_dir.name}, greedy {unit} % on dev by step: {steps}."


def report(exp_dirs: tuple[Path, ...]) -> str:
    """The table, the curves, and where they come from.

    Raises:
        ValueError: where a folder holds no training run.
    """
    if not exp_dirs:
        raise ValueError("exp_dirs is empty, it must name at least one run's exp_dir")
    for exp_dir in exp_dirs:
        if not checkpoint.find(exp_dir):
            raise ValueError(f"{exp_dir} holds no checkpoint, it must be a run's exp_dir")
    header = [
        "variant", "classes", "set", "decoding", "WER %", "CER %", "real-time factor",
        *(f"step MiB: {softmax}" for softmax in MEMORY),
    ]  # fmt: skip
    rows = [row for exp_dir in exp_dirs for row in rows_of(exp_dir)]
    curves = [curve(exp_dir) for exp_dir in exp_dirs]
    blocks = [markdown(header, rows), *curves, decoded_on(exp_dirs)]
    return "\n\n".join(block for block in blocks if block)


def main(
    exp_dirs: tuple[Path, ...],
    /,
    *,
    header: Path | None = None,
    output: Path | None = None,
) -> None:
    """Print a table of results from the files that training, decoding and measuring wrote.

    Args:
        exp_dirs: folders of training runs; a row for each decoding of each test set.
        header: text that the table follows in the output file.
        output: Markdown file to write as well.
    """
    text = report(exp_dirs)
    sys.stdout.write(text + "\n")
    if output is not None:
        output.write_text((header.read_text() + "\n" if header else "") + text + "\n")


if __name__ == "__main__":
    run_script(main)
