"""A figure of the searches: errors against time."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, NullFormatter

from benchmarks.decoding_report import KINDS, LARGE, METHODS, USUAL_GAP, VARIANTS, beside, factor
from benchmarks.rows import Row
from benchmarks.tables import select

COLOURS = {"one by one": "#8c8c8c", "greedy": "#2f6f8f", "modified_beam": "#7a9a5c",
           "fast_beam": "#222222", "time_sync_beam": "#c4572e", "beam": "#6b5b95",
           "torchaudio": "#a38f6d"}  # fmt: skip
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
MARKERS = {"plain": "o", "K = 100": "s", "skip 0.99": "^", "K = 100, skip 0.99": "*"}


def points(rows: list[Row], errors: list[Row], kind: str) -> list[tuple[str, str, float, float]]:
    """Method, variant, real-time factor and WER of the searches that were timed and scored."""
    found = []
    here = select(rows, predictor=kind, vocab_size=LARGE)
    here = [row for row in here if row["environment"] == beside(row["method"], kind)]
    for method, variant in product(METHODS, MARKERS):
        top, skip = VARIANTS[variant]
        same = {"ctc_top_k": top, "blank_skip": skip, "max_gap": USUAL_GAP}
        timed = factor(here, method=method, **same)
        # The plain loop is greedy search: its texts are the same.
        name = "greedy" if method == "one by one" else method
        scored = select(errors, predictor=kind, method=name, **same)
        if timed is not None and scored:
            found.append((method, variant, timed, float(scored[-1]["percent"])))
    return found


def draw(rows: list[Row], errors: list[Row], path: Path) -> None:
    """Draw word error rate against time: a line for each method, a point for each variant."""
    figure, grid = plt.subplots(1, len(KINDS), figsize=(11.5, 4.8), squeeze=False)
    for axes, kind in zip(grid[0], KINDS, strict=True):
        there = points(rows, errors, kind)
        if not there:
            continue
        for method in dict.fromkeys(method for method, *_ in there):
            mine = [(x, y, v) for m, v, x, y in there if m == method]
            axes.plot([x for x, _, _ in mine], [y for _, y, _ in mine],
                      color=COLOURS[method], lw=0.8, alpha=0.6)  # fmt: skip
            for x, y, variant in mine:
                size = 11 if MARKERS[variant] == "*" else 7
                axes.plot(x, y, color=COLOURS[method], marker=MARKERS[variant], ms=size)
        axes.set_xscale("log")
        ticks = [t for t in TICKS if min(x for *_, x, _ in there) / 2 <= t]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(lambda x, _: f"{1000 * x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f"search alone at V = {LARGE}: ms of processor time to a s of speech")
        axes.set_title(f"{kind} predictor", fontsize=11)
        axes.set_ylim(bottom=0)
        axes.grid(True, which="both", alpha=0.2)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    grid[0, 0].set_ylabel("WER on test-announce, %")
    drawn = {m for kind in KINDS for m, *_ in points(rows, errors, kind)}
    handles = [plt.Line2D([], [], color=COLOURS[m], lw=2, label=m) for m in METHODS if m in drawn]
    handles += [
        plt.Line2D([], [], color="#444444", ls="", marker=marker, ms=8, label=name)
        for name, marker in MARKERS.items()
    ]
    figure.legend(handles=handles, loc="center right", frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 0.85, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)
