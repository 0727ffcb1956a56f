#!/usr/bin/env python3
"""Draw the paper's idea, docs/idea.png: what is sampled, from what, and what it saves.

    python docs/draw_idea.py

The posterior in the middle is drawn from a fixed random seed: it shows a shape, not a result.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

POSITIVE, NEGATIVE, REST, INK = "#c4572e", "#2f6f8f", "#d5d9dc", "#222222"
NUM_CLASSES, NUM_POSITIVE, NUM_NEGATIVE = 60, 5, 9


def box(axes: Axes, left: float, depth: float, colour: str, label: str) -> None:
    """A block of logits: frames across, labels up, classes into the page."""
    width, height, slant = 3.0, 2.2, 0.45 * depth
    x, y = left, 0.0
    faces = [
        [(x, y), (x + width, y), (x + width, y + height), (x, y + height)],
        [(x, y + height), (x + width, y + height),
         (x + width + slant, y + height + slant), (x + slant, y + height + slant)],
        [(x + width, y), (x + width + slant, y + slant),
         (x + width + slant, y + height + slant), (x + width, y + height)],
    ]  # fmt: skip
    for face, alpha in zip(faces, (0.85, 0.6, 0.45), strict=True):
        axes.add_patch(Polygon(face, facecolor=colour, edgecolor=INK, alpha=alpha, lw=0.8))
    axes.text(x + width / 2, y - 0.18, "T frames", ha="center", va="top", fontsize=9)
    axes.text(x - 0.15, y + height / 2, "U + 1 labels", ha="right", va="center",
              rotation=90, fontsize=9)  # fmt: skip
    axes.text(x + width + slant / 2 + 0.25, y + slant / 2 - 0.15, label, ha="left", va="top",
              fontsize=9)  # fmt: skip


def draw_full(axes: Axes) -> None:
    """The logits of the full softmax."""
    box(axes, 0, 4.0, REST, "V classes")
    axes.set_title("Full softmax\nT · (U + 1) · V logits", fontsize=11)


def draw_sampled(axes: Axes) -> None:
    """The logits of the sampled softmax."""
    box(axes, 0, 0.9, NEGATIVE, "K classes")
    axes.set_title("Sampled softmax\nT · (U + 1) · K logits", fontsize=11)


def draw_choice(axes: Axes) -> None:
    """How the CTC posterior of one utterance names its classes."""
    rng = np.random.default_rng(3)
    posterior = np.sort(rng.dirichlet(np.full(NUM_CLASSES, 0.25)))[::-1]
    posterior = 0.004 + rng.permutation(posterior)
    posterior[0] = posterior.max() * 1.25
    positive = {0, *np.argsort(-posterior[1:])[1 : 2 * NUM_POSITIVE - 1 : 2] + 1}
    free = np.array([i for i in range(NUM_CLASSES) if i not in positive])
    drawn = rng.choice(free, NUM_NEGATIVE, replace=False, p=posterior[free] / posterior[free].sum())
    negative = set(drawn.tolist())
    colours = [
        POSITIVE if i in positive else NEGATIVE if i in negative else REST
        for i in range(NUM_CLASSES)
    ]
    axes.bar(range(NUM_CLASSES), posterior, color=colours, width=0.85)
    for colour, text in (
        (POSITIVE, "blank and this utterance's labels: always in"),
        (NEGATIVE, "negatives, drawn by the posterior"),
        (REST, "not computed for this utterance"),
    ):
        axes.bar([0], [0], color=colour, label=text)
    axes.legend(fontsize=8.5, frameon=False, loc="upper right")
    axes.set_title("One utterance's CTC posterior,\naveraged over frames, names K classes",
                   fontsize=11)  # fmt: skip
    axes.set_xlabel("the V classes of the vocabulary", fontsize=9)
    axes.set_yticks([])
    axes.set_xticks([])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def main() -> None:
    """Draw and save."""
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(12, 3.8), gridspec_kw={"width_ratios": [4.6, 5.2, 4.6]}
    )
    draw_full(left)
    draw_choice(middle)
    draw_sampled(right)
    for axes in (left, right):
        axes.set_xlim(-0.7, 6.6)
        axes.set_ylim(-0.7, 4.3)
        axes.set_aspect("equal")
        axes.axis("off")
    figure.tight_layout(w_pad=2.5)
    figure.savefig(Path(__file__).with_name("idea.png"), dpi=130)


if __name__ == "__main__":
    main()
