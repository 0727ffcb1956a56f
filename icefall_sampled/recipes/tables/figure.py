"""The paper's Figure 3(a) of our own runs: memory of a training step against error rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from icefall_sampled.files import replacing


@dataclass(frozen=True, kw_only=True)
class Point:
    """A run in the figure, or several of them that differ in their seeds."""

    name: str
    step_mib: float
    """Peak of a training step, as it was trained."""
    stored_mib: float | None
    """The same with all logits of the lattice stored; None where the loss has none such."""
    error_percent: float
    """Mean over the seeds."""
    spread_percent: float = 0.0
    """Standard deviation over the seeds; 0 for a single one."""


def draw(points: list[Point], path: Path, *, label: str) -> None:
    """Draw the points as a PNG: filled as trained, hollow with all logits stored.

    Args:
        points: at least one.
        path: of the PNG.
        label: of the axis of errors.
    """
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for number, point in enumerate(points):
        color = f"C{number % 10}"
        y = point.error_percent
        if point.stored_mib is not None:
            axes.plot([point.step_mib, point.stored_mib], [y, y], color=color, linewidth=0.8)
            axes.plot(point.stored_mib, y, "o", color=color, markerfacecolor="none")
        axes.errorbar(
            point.step_mib, y, yerr=point.spread_percent or None, fmt="o", color=color,
            capsize=3, linewidth=1, label=point.name,
        )  # fmt: skip
    axes.set_xlabel("MiB at the peak of a training step (hollow: all logits stored)")
    axes.set_ylabel(label)
    axes.set_xlim(left=0)
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    plt.close(figure)
