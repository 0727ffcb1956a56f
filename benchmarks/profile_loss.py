#!/usr/bin/env python3
"""The time of a loss by operators, compared with the speed of the processor.

    python -m benchmarks.profile_loss --checkpoint exp/example_ctc

It runs one step under torch's profiler, for the first random batch of bench_loss.py. Besides the
shares of kinds of operators it gives the time of the matrix products alone, if all of them ran at
the speed of one large product: a lower bound for any implementation of the same computation.
"""

from __future__ import annotations

import csv
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench_loss import RESULTS, make_settings
from benchmarks.cases import Case, Setting, random_case, trained_case
from benchmarks.machine import code, machine
from benchmarks.measure import nodes_seen, run_step
from benchmarks.methods import METHODS
from icefall_sampled.cli import run_script

COLUMNS = (
    "method", "vocab_size", "num_sampled", "posteriors", "batch", "kind", "calls", "seconds",
    "machine", "threads", "torch", "commit", "dirty",
)  # fmt: skip

KINDS: dict[str, tuple[str, ...]] = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm"),
    "tanh, exp, log": ("tanh", "sigmoid", "exp_", "exp", "log", "softmax"),
    "picking and scattering": ("index", "gather", "scatter", "nonzero", "take"),
    "sums and maxima": ("sum", "amax", "max", "cumsum", "cummax", "sort", "bincount", "mean"),
    "arithmetic and copies": (
        "add", "sub", "mul", "div", "neg", "copy", "clamp", "fill", "zero", "masked", "where",
        "cat", "round", "le", "lt", "ge", "eq", "ne", "gt", "bitwise", "abs", "minimum", "maximum",
    ),
}  # fmt: skip
"""Prefixes of torch's operators by kind; the first matching prefix counts."""

LATTICE, REST = "lattice recursion", "Python, views, allocation"
NOT_A_KIND = ("all", "matrix products at full speed")

DEFAULT = (
    ("fused full", "random"), ("fused full", "trained"), ("fused sampled", "random"),
    ("fused sampled + draft", "trained"), ("k2 pruned", "random"), ("k2 pruned", "trained"),
)  # fmt: skip


def kind_of(event: str) -> str:
    """The kind of an event of the profile, such as aten::tanh_."""
    if "MutualInformation" in event:
        return LATTICE
    if not event.startswith("aten::"):
        return REST  # an autograd.Function, whose own time is spent in Python
    name = event.removeprefix("aten::").strip("_")
    exact = {"expand", "expand_as"}  # these are views
    for kind, beginnings in KINDS.items():
        if name.startswith(beginnings) and name not in exact:
            return kind
    return REST


def shares(method: str, case: Case, num_sampled: int) -> dict[str, tuple[int, float]]:
    """Calls and seconds in one step, for each kind of operator and for the rest."""
    device = case.encoder_out.device
    loss = METHODS[method].loss
    run_step(lambda: loss(case, num_sampled), case.leaves, device)
    operators = profile(activities=[ProfilerActivity.CPU])
    with nodes_seen() as seen, operators as recorded:
        step = run_step(lambda: loss(case, num_sampled), case.leaves, device)
    found = {kind: (0, 0.0) for kind in (*KINDS, LATTICE, REST)}
    for event in recorded.key_averages():
        kind = kind_of(event.key)
        calls, seconds = found[kind]
        found[kind] = calls + event.count, seconds + event.self_cpu_time_total / 1e6
    inside = sum(seconds for _, seconds in found.values())
    calls, seconds = found[REST]
    found[REST] = calls, seconds + max(step.total_seconds - inside, 0.0)
    found[NOT_A_KIND[0]] = 1, step.total_seconds
    classes = num_sampled if "sampled" in method else len(case.bias)
    if len(seen) > 1:
        found[NOT_A_KIND[1]] = 1, least_seconds(case.weight, classes, *seen)
    return found


def least_seconds(weight: Tensor, classes: int, forward: int, backward: int) -> float:
    """Time of one product a node in forward, three in backward, at a large product's speed."""
    left = torch.randn(4096, weight.shape[1])
    right = torch.randn(weight.shape[1], classes)
    torch.mm(left, right)
    began = time.perf_counter()
    for _ in range(5):
        torch.mm(left, right)
    per_row = (time.perf_counter() - began) / 5 / len(left)
    return (forward + 3 * backward) * per_row


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows, replacing the old ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def profile_all(setting: Setting, checkpoint: Path | None) -> list[dict[str, Any]]:
    """The rows for each available method of `DEFAULT`."""
    common = machine() | code() | dataclasses.asdict(setting) | {"torch": torch.__version__}
    outputs = None
    if checkpoint is not None:
        from benchmarks.trained import Trained

        outputs = Trained.load(checkpoint).outputs(setting.shapes, seed=setting.seed)
    rows = []
    for method, posteriors in DEFAULT:
        if posteriors == "trained" and outputs is None:
            continue
        case = random_case(setting) if posteriors == "random" else trained_case(setting, outputs)
        try:
            found = shares(method, case.prepared(torch.device("cpu")), setting.num_sampled)
        except ImportError:
            continue
        named = common | {"method": method, "posteriors": posteriors}
        for kind, (calls, seconds) in found.items():
            rows.append(named | {"kind": kind, "calls": calls, "seconds": round(seconds, 5)})
    return rows


def main(
    *,
    checkpoint: Path | None = None,
    vocab_size: int = 2000,
    num_sampled: int = 300,
    joiner_width: int = 512,
    batch_size: int = 4,
    threads: int = 1,
    seed: int = 0,
    results: Path = RESULTS / "profile.csv",
) -> None:
    """Measure the time of the losses by operators; the rows replace those of the last call.

    Args:
        checkpoint: folder of a training run, for trained posteriors.
        vocab_size: V, blank included.
        num_sampled: K.
        joiner_width: J.
        batch_size: N.
        threads: number of threads.
        seed: of shapes and tensors.
        results: CSV file to write.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    (setting,) = make_settings(
        methods=["fused full"], vocab_sizes=[vocab_size], batches=["random"], num_batches=1,
        posteriors=["random"], flush=["yes"], batch_size=batch_size, num_sampled=num_sampled,
        joiner_width=joiner_width, threads=threads, device="cpu", seed=seed,
    )  # fmt: skip
    write(results, profile_all(setting, checkpoint))


if __name__ == "__main__":
    run_script(main)
