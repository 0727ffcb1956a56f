#!/usr/bin/env python3
"""How the cost of a loss grows with T, U, V, K and N, varied one at a time.

    python -m benchmarks.growth --checkpoint exp/example_ctc

Rows go into a CSV file as in bench_loss.py; report.py fits the exponents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.bench_loss import RESULTS, run_settings
from benchmarks.cases import Setting
from benchmarks.worker import Plan
from icefall_sampled.cli import UserError, run_script

Letter = Literal["T", "U", "V", "K", "N"]
METHODS: dict[str, tuple[str, str]] = {
    "k2 pruned": ("random", "TUVN"),
    "fused full": ("random", "TUVN"),
    "fused sampled": ("random", "TUVKN"),
    "fused sampled + draft": ("trained", "TUVKN"),
}
"""Posteriors, and the varied sizes. With random posteriors a draft can leave out little; K does not
matter to a loss over all V."""

SWEEPS: dict[Letter, tuple[int, ...]] = {
    "T": (200, 400, 800, 1600),
    "U": (8, 16, 32, 64),
    "V": (500, 1000, 2000, 4000, 8000),
    "K": (150, 300, 600, 1200, 2400),
    "N": (1, 2, 4, 8),
}
BASE: dict[Letter, int] = {"T": 200, "U": 16, "V": 1000, "K": 300, "N": 2}
FIXED: dict[Letter, dict[Letter, int]] = {
    "T": {"U": 12},
    "U": {"T": 640},
    "V": {},
    "K": {"T": 400, "U": 24, "V": 4000},
    "N": {},
}
"""Sweeps with another base: real speech of U labels needs enough frames, and K sampled classes a
large enough V."""

EXPECTED: dict[str, dict[str, tuple[str, str]]] = {
    "k2 pruned": {"T": ("1", "1"), "U": ("0–1", "0–1"), "V": ("1", "1"), "N": ("1", "1")},
    "fused full": {"T": ("1", "0–1"), "U": ("1", "0–1"), "V": ("1", "0"), "N": ("1", "0–1")},
    "fused sampled": {
        "T": ("1", "0–1"), "U": ("1", "0–1"), "V": ("0", "0"), "K": ("1", "0"), "N": ("1", "0–1"),
    },
    "fused sampled + draft": {
        "T": ("1", "0–1"), "U": ("0–1", "0–1"), "V": ("0", "0"), "K": ("0–1", "0"),
        "N": ("1", "0–1"),
    },
}  # fmt: skip
"""Exponents of time and memory. The pruned loss computes 5 nodes a frame for any U; its simple loss
needs N·U·V more numbers, and in k2 1.23.4, once in backward, N·T·U·V. The fused losses have a fixed
budget and a few numbers for each node. With a draft, the exact pass visits a band whose width does
not depend on U, and the draft pass visits all nodes."""


@dataclass(frozen=True)
class Fit:
    """y = c · x ** exponent, fitted by least squares of the logarithms."""

    exponent: float
    spread: float
    """Standard error of the exponent; 0 if the points lie on the curve."""


def fit(xs: Sequence[float], ys: Sequence[float]) -> Fit:
    """Fit a power law to at least three points.

    Raises:
        UserError: if there are fewer, all x are equal, or a value is not positive.
    """
    if len(xs) < 3 or len(set(xs)) < 2 or min(*xs, *ys) <= 0:
        raise UserError(f"xs and ys must be three positive points or more, were {xs} and {ys}")
    u, v = [math.log(x) for x in xs], [math.log(y) for y in ys]
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    variance = sum((a - mean_u) ** 2 for a in u)
    slope = sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True)) / variance
    rest = sum(
        (b - mean_v - slope * (a - mean_u)) ** 2 for a, b in zip(u, v, strict=True)
    )  # fmt: skip
    return Fit(slope, math.sqrt(max(rest, 0.0) / (len(u) - 2) / variance))


def make_settings(*, joiner_width: int, threads: int, device: str, seed: int) -> list[Setting]:
    """Every method at every point of every sweep."""
    settings = []
    for letter, values in SWEEPS.items():
        for value in values:
            point = {**BASE, **FIXED[letter], letter: value}
            settings += [
                Setting(
                    method=method,
                    vocab_size=point["V"],
                    num_sampled=point["K"],
                    joiner_width=joiner_width,
                    batch=f"sweep-{letter}-{value}",
                    shapes=((point["T"], point["U"]),) * point["N"],
                    posteriors=posteriors,
                    flush=True,
                    threads=threads,
                    device=device,
                    seed=seed,
                )
                for method, (posteriors, letters) in METHODS.items()
                if letter in letters
            ]
    return settings


def main(
    *,
    checkpoint: Path,
    joiner_width: int = 512,
    threads: int = 1,
    device: str = "cpu",
    seed: int = 0,
    plan: Plan = Plan(budget_seconds=3.0),  # noqa: B008 - frozen
    results: Path = RESULTS / "growth.csv",
    again: bool = False,
) -> None:
    """Measure how the cost grows with each size.

    Args:
        checkpoint: folder of a training run, for trained posteriors.
        joiner_width: J.
        threads: number of threads.
        device: cpu or cuda.
        seed: of the tensors.
        plan: how often to repeat.
        results: CSV file that rows are added to.
        again: also measure what is already in the results.
    """
    settings = make_settings(joiner_width=joiner_width, threads=threads, device=device, seed=seed)
    run_settings(
        settings, path=results, plan=plan, again=again, checkpoint=checkpoint, exact_frames=True
    )


if __name__ == "__main__":
    run_script(main)
