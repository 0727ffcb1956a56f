#!/usr/bin/env python3
"""Draw the paper's Figures 1 and 3(b) again: docs/memory_figure1.png and memory_figure3b.png.

    python docs/draw_memory.py

Ours are measured by `icefall_sampled.memory` at the paper's size: whole steps of Conformer-M with a
predictor and a joiner of 640, with one, two and four utterances of LibriSpeech's mean length, and a
line through them. Stored logits are those of our naive loss, which is written to be read: at its
peak it has (T, U + 1, K) four times or, with few classes, activations (T, U + 1, J) three times. Of
the paper's figures only what its text says in numbers or words is shown; where it says nothing,
nothing is drawn.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from icefall_sampled.allocations import MIB, Line
from icefall_sampled.config import Config, LossConfig, SamplingConfig
from icefall_sampled.memory import Steps
from icefall_sampled.recipes.recipe import Utterance

MEAN_FRAMES, MEAN_LABELS = 319, 67.9
"""T and U of an utterance with 500 pieces: means over 4,000 random ones of LibriSpeech's
train-clean-100, from the lengths in the public transducer-loss-benchmarking repository."""
LABELS_OF_2000_PIECES = 0.67
"""Labels with 2,000 pieces to those with 500. An assumption, for the repository above has no
other vocabulary: SentencePiece (BPE) gave 0.674 on Vim's manual (88,704 sentences, a fifth of them
held out and counted), 0.645 on Python's and 0.664 on the common free-software licences."""
ENCODER_FRAME_SECONDS, FILTER_SECONDS = 0.04, 0.03
NUM = 32
"""Utterances in the batch of Figure 1."""
MB = 1e6

QUOTED = {(2000, 0): 850, (2000, 300): 530}
"""MB for each training example by (V, K), 0 for the full softmax: Section 4.1 of the paper."""
BARS = ((500, 0), (500, 160), (500, 250), (2000, 0), (2000, 300), (2000, 600))
"""The sizes of the paper's Table 1 with sampling from SC-CTC, and their baselines."""

FULL, STORED, FUSED, REST, PAPER, INK = (
    "#9aa0a6", "#2f6f8f", "#c4572e", "#d5d9dc", "#111111", "#222222",
)  # fmt: skip


def utterance_of(vocab_size: int) -> Utterance:
    """LibriSpeech's mean utterance."""
    labels = MEAN_LABELS * (LABELS_OF_2000_PIECES if vocab_size == 2000 else 1.0)
    return Utterance(MEAN_FRAMES * ENCODER_FRAME_SECONDS + FILTER_SECONDS, round(labels))


def config_of(num_sampled: int) -> Config:
    """Conformer-M with K classes; 0 for the full softmax."""
    if num_sampled:
        return Config(sampling=SamplingConfig(num_sampled=num_sampled))
    return Config(sampling=SamplingConfig(strategy="none", distribution="uniform"))


@cache
def line(vocab_size: int, num_sampled: int, *, stored: bool = False) -> Line:
    """The MiB of a step, fused or with its logits stored."""
    loss = LossConfig(implementation="naive" if stored else "fused")
    config = replace(config_of(num_sampled), loss=loss)
    return Steps(config, vocab_size).line(utterance_of(vocab_size))


@cache
def encoder_line(vocab_size: int, num_sampled: int) -> Line:
    """The MiB of a step with the CTC loss alone."""
    steps = Steps(config_of(num_sampled), vocab_size)
    return steps.line(utterance_of(vocab_size), with_transducer=False)


def draw_figure3b(axes: Axes) -> None:
    """MB for each training example, by V and K."""
    for place, (vocab_size, num_sampled) in enumerate(BARS):
        below = encoder_line(vocab_size, num_sampled).each * MIB / MB
        colour = STORED if num_sampled else FULL
        bars = [
            (-0.27, line(vocab_size, num_sampled, stored=True).each * MIB / MB, colour),
            (0.0, line(vocab_size, num_sampled).each * MIB / MB, FUSED),
        ]
        for offset, height, shade in bars:
            axes.bar(place + offset, height, 0.25, color=shade)
            axes.text(place + offset, height + 8, f"{height:.0f}", ha="center", fontsize=8)
        quoted = QUOTED.get((vocab_size, num_sampled))
        if quoted:
            axes.bar(place + 0.27, quoted, 0.25, color="white", edgecolor=PAPER, hatch="///")
            axes.text(place + 0.27, quoted + 8, str(quoted), ha="center", fontsize=8)
        else:
            axes.text(place + 0.27, 8, "not quoted", ha="center", rotation=90, fontsize=8,
                      color=INK, va="bottom")  # fmt: skip
        axes.plot([place - 0.42, place + 0.42], [below, below], ":", color=INK, lw=1.6)
    handles: list[Artist] = [
        Patch(color=FULL, label="logits of all V stored"),
        Patch(color=STORED, label="logits of K classes stored"),
        Patch(color=FUSED, label="ours: fused, no logits stored"),
        Patch(facecolor="white", edgecolor=PAPER, hatch="///",
              label="the paper's figure, where its text gives one"),
        Line2D([], [], ls=":", color=INK, label="encoder and CTC alone (ours)"),
    ]  # fmt: skip
    axes.set_xticks(range(len(BARS)))
    axes.set_xticklabels([f"V = {v}\n" + (f"K = {k}" if k else "full") for v, k in BARS])
    axes.set_ylabel("MB for each training example")
    axes.set_ylim(0, 1120)
    axes.legend(handles=handles, fontsize=8.5, frameon=False, loc="upper left", ncol=2)
    axes.spines[["top", "right"]].set_visible(False)


def draw_figure1(axes: Axes) -> None:
    """A batch's memory by component: the transducer, sampled, and fused."""
    rows = {
        "(a) RNN-Transducer\nV = 2000": line(2000, 0, stored=True),
        "(b) sampled softmax\nK = 300": line(2000, 300, stored=True),
        "(c) ours: sampled\nand fused": line(2000, 300),
    }
    encoder = encoder_line(2000, 300)
    to_gb = MIB / MB / 1000
    before = to_gb * encoder.resident_mib
    for place, step in enumerate(rows.values()):
        left = 0.0  # what was drawn so far
        whole, lattice = to_gb * step.at(NUM), to_gb * (step.at(NUM) - encoder.at(NUM))
        parts = (
            ("weights and AdamW's states", before, REST),
            ("encoder and CTC", whole - lattice - before, FULL),
            ("predictor, joiner and logits", lattice, FUSED),
        )
        for label, size, colour in parts:
            axes.barh(place, size, 0.55, left=left, color=colour,
                      label=label if not place else None)  # fmt: skip
            if size > 0.9:
                axes.text(left + size / 2, place, f"{size:.1f}", ha="center", va="center",
                          fontsize=9)  # fmt: skip
            left += size
        axes.text(left + 0.2, place, f"{whole:.1f} GB, {100 * lattice / whole:.0f} % of it for "
                  "predictor, joiner, logits", va="center", fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(rows)
    axes.invert_yaxis()
    axes.set_xlabel(f"GB of a step with {NUM} utterances of LibriSpeech's mean length")
    axes.set_xlim(0, 42)
    axes.set_title("The paper on its own Figure 1 (a): “the whole encoder network and the logit "
                   "tensor take nearly same memory space”", fontsize=9, loc="left")  # fmt: skip
    axes.legend(fontsize=8.5, frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Draw and save both."""
    torch.set_flush_denormal(True)
    folder = Path(__file__).parent
    for name, draw, size in (
        ("memory_figure1", draw_figure1, (9.5, 3.8)),
        ("memory_figure3b", draw_figure3b, (9.5, 4.6)),
    ):
        figure, axes = plt.subplots(figsize=size)
        draw(axes)
        figure.tight_layout()
        figure.savefig(folder / f"{name}.png", dpi=130)


if __name__ == "__main__":
    main()
