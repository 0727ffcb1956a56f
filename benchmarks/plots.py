"""Figures from the rows of measurements."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.findings import sweep
from benchmarks.growth import METHODS, SWEEPS
from benchmarks.rows import Row
from benchmarks.tables import common_batches, in_order, is_ok, select

STYLES: dict[str, dict[str, Any]] = {
    "k2 full": {"color": "#8c8c8c", "marker": "o"},
    "fast_rnnt full": {"color": "#8c8c8c", "marker": "s", "ms": 9, "mfc": "none", "ls": ":"},
    "torchaudio": {"color": "#a38f6d", "marker": "^"},
    "optimized_transducer": {"color": "#6b5b95", "marker": "v"},
    "checkpointed": {"color": "#7a9a5c", "marker": "D"},
    "naive sampled": {"color": "#d9a441", "marker": "P"},
    "k2 pruned": {"color": "#222222", "marker": "o"},
    "fast_rnnt pruned": {"color": "#555555", "marker": "s"},
    "fused full": {"color": "#2f6f8f", "marker": "o", "lw": 2},
    "fused full + draft": {"color": "#2f6f8f", "marker": "s", "lw": 2, "ls": "--"},
    "fused sampled": {"color": "#c4572e", "marker": "o", "lw": 2},
    "fused sampled + draft": {"color": "#c4572e", "marker": "s", "lw": 2, "ls": "--"},
}
"""Line styles in the order of the legend: ours are wide and coloured."""

AXES = (("seconds", "forward and backward, s"), ("peak_mib", "peak memory, MiB"))


def draw_losses(rows: list[Row], path: Path) -> None:
    """Time and memory by vocabulary size; crosses: predicted memory beyond that of the machine."""
    sources = [s for s in ("random", "trained") if select(rows, posteriors=s)]
    figure, grid = plt.subplots(
        2, len(sources), figsize=(4.6 * len(sources) + 2.6, 7.6), sharex=True, sharey="row",
        squeeze=False,
    )  # fmt: skip
    for column, source in enumerate(sources):
        here = select(rows, posteriors=source, flush="True")
        for axes, (name, label) in zip(grid[:, column], AXES, strict=True):
            for method in (m for m in STYLES if select(here, method=m)):
                _line(axes, here, method, name)
            _log_axes(axes, [int(v) for v in in_order(row["vocab_size"] for row in here)])
            if column == 0:
                axes.set_ylabel(label)
        grid[0, column].set_title(f"{source} posteriors", fontsize=11)
        grid[1, column].set_xlabel("vocabulary size V")
    handles = {h.get_label(): h for axes in grid.flat for h in axes.get_lines()}
    handles = {name: handles[name] for name in STYLES if name in handles}
    crosses = [line for axes in grid.flat for line in axes.get_lines() if line.get_marker() == "x"]
    if crosses:
        handles["does not fit: predicted"] = crosses[0]
    figure.legend(handles.values(), handles.keys(), loc="center right", frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1 - 2.1 / (4.6 * len(sources) + 2.6), 1))
    _save(figure, path)


def _line(axes: Axes, rows: list[Row], method: str, column: str) -> None:
    """Draw one method: medians over the batches that all methods of a size have."""
    there, missing = [], []
    for vocab in in_order(row["vocab_size"] for row in rows):
        of_size = select(rows, vocab_size=vocab)
        batches = common_batches(of_size)
        here = [r for r in select(of_size, method=method) if r["batch"] in batches]
        good = [float(row[column]) for row in here if is_ok(row)]
        if good and len(good) == len(here):
            there.append((int(vocab), statistics.median(good)))
        elif here and column == "peak_mib" and here[0]["status"] == "does not fit":
            missing.append((int(vocab), float(here[0]["predicted_mib"])))
    style = {"lw": 1.2, "ms": 5, **STYLES[method]}
    if there:
        axes.plot(*zip(*there, strict=True), label=method, **style)
    if missing:
        cross = {"marker": "x", "color": style["color"], "ms": 8, "mew": 2}
        axes.plot(*zip(*missing, strict=True), ls="", label=f"_{method}", **cross)


def _log_axes(axes: Axes, ticks: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:,}" for tick in ticks])
    axes.grid(True, alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw_growth(rows: list[Row], path: Path) -> None:
    """Time and memory by each size, the others fixed."""
    figure, grid = plt.subplots(2, len(SWEEPS), figsize=(14.5, 6.2), sharey="row", squeeze=False)
    for column, letter in enumerate(SWEEPS):
        ticks: set[int] = set()
        for axes, (name, label) in zip(grid[:, column], AXES, strict=True):
            for method in METHODS:
                points = sweep(select(rows, method=method), letter)
                if points:
                    xs = [x for x, _ in points]
                    ticks |= {int(x) for x in xs} if METHODS[method][0] == "random" else set()
                    ys = [float(row[name]) for _, row in points]
                    axes.plot(xs, ys, label=method, **{"lw": 1.2, "ms": 4, **STYLES[method]})
            _log_axes(axes, sorted(ticks))
            axes.tick_params(axis="x", labelsize=8)
            if column == 0:
                axes.set_ylabel(label)
        grid[1, column].set_xlabel(letter)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncol=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
