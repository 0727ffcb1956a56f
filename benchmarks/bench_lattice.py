#!/usr/bin/env python3
"""The time of the lattice alone: the installed package (k2 or fast_rnnt) beside plain torch.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_lattice

Measures `lattice.posteriors`: log-likelihood and the posterior of each step, in float64, which is
the lattice's share of a loss, forward and backward. The rows replace those of this environment.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmarks import rows as rows_file
from benchmarks.bench_loss import RESULTS
from benchmarks.cases import Shape, draw_shapes
from benchmarks.machine import code, machine, version_of
from icefall_sampled.cli import run_script
from icefall_sampled.losses import lattice, lattice_torch

COLUMNS = (
    "environment", "backend", "batch", "batch_size", "frames", "labels", "nodes", "repeats",
    "cpu_seconds", "fastest_seconds", "slowest_seconds", "difference", "threads", "machine",
    "python", "torch", "package", "package_version", "commit", "dirty",
)  # fmt: skip
"""Times are processor time, the median over the repeats with its range. `difference` is the largest
absolute one between the posteriors of this backend and those of the package."""
MEASURED = ("icefall_sampled/losses/lattice.py", "icefall_sampled/losses/lattice_torch.py")

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def batches(sizes: tuple[int, ...]) -> dict[str, tuple[Shape, ...]]:
    """LibriSpeech's shapes, so many at a time, and a short and a long utterance alone."""
    named = {
        f"{kind} of {size}": draw_shapes(kind, batch_size=size, count=1, seed=0)[0]
        for kind in ("random", "sorted")
        for size in sizes
    }
    return {"one short": ((40, 8),), **named, "one long": ((1600, 300),)}


def make_inputs(shapes: tuple[Shape, ...]) -> Inputs:
    """Log-probabilities of a uniform softmax over 500 classes, with noise, in float64."""
    options: dict[str, Any] = {
        "generator": torch.Generator().manual_seed(0), "dtype": torch.float64
    }  # fmt: skip
    frames, labels = (torch.tensor(sizes) for sizes in zip(*shapes, strict=True))
    size = len(shapes), int(frames.max()), int(labels.max())
    blank = torch.randn(size[0], size[1], size[2] + 1, **options) - 6.2
    return blank, torch.randn(size, **options) - 6.2, frames, labels


def measure(modules: dict[str, ModuleType], inputs: Inputs, repeats: int) -> list[dict[str, Any]]:
    """The rows of all backends, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in modules}
    results: dict[str, tuple[Tensor, ...]] = {}
    used = lattice._module
    for _ in range(repeats + 1):  # the first is a warm-up
        for name, module in modules.items():
            lattice._module = module
            began = time.process_time()
            results[name] = lattice.posteriors(*inputs)
            seconds[name].append(time.process_time() - began)
    lattice._module = used
    expected = next(iter(results.values()))
    return [
        {
            "backend": name,
            "repeats": repeats,
            "cpu_seconds": f"{statistics.median(seconds[name][1:]):.6f}",
            "fastest_seconds": f"{min(seconds[name][1:]):.6f}",
            "slowest_seconds": f"{max(seconds[name][1:]):.6f}",
            "difference": max(
                float((a - b).abs().max()) if a.numel() else 0.0
                for a, b in zip(results[name][1:], expected[1:], strict=True)
            ),
        }
        for name in modules
    ]


def main(
    *,
    sizes: tuple[int, ...] = (4, 30),
    repeats: int = 9,
    results: Path = RESULTS / "lattice.csv",
) -> None:
    """Measure the lattice in this environment.

    Args:
        sizes: N of the batches.
        repeats: of each batch, after a warm-up.
        results: CSV file; the rows of other environments are kept.
    """
    torch.set_num_threads(1)
    modules = {lattice.BACKEND: lattice._module, "torch": lattice_torch}
    common = machine() | code(MEASURED) | {
        "environment": Path(sys.prefix).name, "threads": torch.get_num_threads(),
        "python": sys.version.split()[0], "torch": torch.__version__, "package": lattice.BACKEND,
        "package_version": version_of(lattice.BACKEND),
    }  # fmt: skip
    rows: list[dict[str, Any]] = [
        row
        for row in rows_file.read(results, columns=COLUMNS)
        if row["environment"] != common["environment"]
    ]
    for name, shapes in batches(sizes).items():
        shape = {
            "batch": name, "batch_size": len(shapes), "frames": max(t for t, _ in shapes),
            "labels": max(u for _, u in shapes), "nodes": sum(t * (u + 1) for t, u in shapes),
        }  # fmt: skip
        rows += [common | shape | row for row in measure(modules, make_inputs(shapes), repeats)]
    with results.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    run_script(main)
