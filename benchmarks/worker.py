"""One measurement in its own process; `bench_loss.py` starts it and reads its answer.

    python -m benchmarks.worker < job.json

The job is a `Setting`, a `Plan` and, for trained posteriors, the file of a model's outputs. The
answer is one line of JSON, the last on standard output.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.cases import Case, Setting, random_case, trained_case
from benchmarks.measure import (
    Loss,
    ProcessPeak,
    Step,
    counted_step,
    nodes_seen,
    run_step,
)
from benchmarks.methods import METHODS, predicted_mib
from icefall_sampled.errors import first_line

HEADROOM = 0.9
"""Share of the free memory that a measurement may use."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How often to repeat."""

    budget_seconds: float = 8.0
    """Time for all repeats, within the limits below."""
    min_repeats: int = 3
    max_repeats: int = 10
    once_above_seconds: float = 20.0
    """A first step that takes longer is the only repeat, not a warm-up."""
    single: bool = False
    """Time one step and count its memory at once, for losses that take minutes."""


def measure(setting: Setting, plan: Plan, outputs: str | None) -> dict[str, Any]:
    """The columns of a row that the measuring process determines."""
    method = METHODS[setting.method]
    device = torch.device(setting.device)
    case = _case(setting, outputs, device)
    predicted = predicted_mib(method, case, setting.num_sampled)
    nodes = int((case.encoder_lengths * (case.target_lengths + 1)).sum())
    row: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "peer_version": machine.version_of(method.package),
        "frames": case.encoder_out.shape[1],
        "labels": case.predictor_out.shape[1] - 1,
        "nodes": nodes,
        "predicted_mib": round(predicted, 1),
    }
    if device.type == "cpu":
        available = HEADROOM * machine.available_mib()
        if predicted > available:
            return row | _misfit(f"more than the {available:.0f} MiB that are free")
        _limit_memory(available)
    try:
        _warm_up(setting, device)
        return row | {"status": "ok"} | _figures(case, setting, plan)
    except ImportError as error:
        return row | {"status": "not installed", "note": first_line(error)}
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, RuntimeError) and "alloc" not in text and "memory" not in text:
            return row | {"status": "failed", "note": first_line(error)}
        return row | _misfit(first_line(error))


def _misfit(note: str) -> dict[str, str]:
    return {"status": "does not fit", "note": note}


def _limit_memory(mib: float) -> None:
    """Make larger allocations fail in this process, before the system kills another one."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(mib * 2**20), hard))


def _case(setting: Setting, outputs: str | None, device: torch.device) -> Case:
    if outputs is None:
        return random_case(setting).prepared(device)
    return trained_case(setting, torch.load(outputs, map_location="cpu")).prepared(device)


def _warm_up(setting: Setting, device: torch.device) -> None:
    """Run a step on a tiny batch, so that code and thread pools are loaded before counting."""
    fields = setting.to_json() | {"vocab_size": 40, "num_sampled": 20, "joiner_width": 16}
    tiny = Setting.from_json(fields | {"shapes": [(12, 6), (9, 4)]})
    case = random_case(tiny).prepared(device)
    counted_step(lambda: METHODS[tiny.method].loss(case, 20), case.leaves, device)


def _figures(case: Case, setting: Setting, plan: Plan) -> dict[str, Any]:
    """Time, memory, value."""
    device = torch.device(setting.device)
    leaves = case.leaves
    loss: Loss = lambda: METHODS[setting.method].loss(case, setting.num_sampled)  # noqa: E731
    whole = ProcessPeak(device)
    with nodes_seen() as seen:
        if plan.single:
            first, peak_mib = counted_step(loss, leaves, device)
        else:
            first, peak_mib = run_step(loss, leaves, device), None
    # Before profiling: its own records take more memory than a fused loss.
    rss_mib = None if plan.single else whole.mib()
    steps = [first]
    once = plan.single or first.total_seconds > plan.once_above_seconds
    if not once:
        wanted = int(plan.budget_seconds / max(first.total_seconds, 1e-9))
        wanted = max(plan.min_repeats, min(plan.max_repeats, wanted))
        steps = [run_step(loss, leaves, device) for _ in range(wanted)]
    if peak_mib is None:
        _, peak_mib = counted_step(loss, leaves, device)
    gradients = _mib(x.grad for x in leaves if x.grad is not None)
    return _times(steps) | {
        "warm_ups": 0 if once else 1,
        "peak_mib": round(peak_mib, 2),
        "peak_rss_mib": "" if rss_mib is None else round(rss_mib - gradients, 1),
        "gradients_mib": round(gradients, 2),
        "inputs_mib": round(_mib(leaves), 2),
        "nodes_forward": seen[0] if seen else "",
        "nodes_backward": seen[1] if len(seen) > 1 else "",
    }


def _mib(tensors: Iterable[Tensor]) -> float:
    return sum(x.numel() * x.element_size() for x in tensors) / 2**20


def _times(steps: list[Step]) -> dict[str, Any]:
    """Medians over the repeats, and the range of the total."""
    totals = [step.total_seconds for step in steps]

    def median(name: str) -> float:
        return round(statistics.median(getattr(step, name) for step in steps), 5)

    return {
        "loss": steps[-1].loss,
        "repeats": len(steps),
        "forward_seconds": median("forward_seconds"),
        "backward_seconds": median("backward_seconds"),
        "total_seconds": median("total_seconds"),
        "fastest_seconds": round(min(totals), 5),
        "slowest_seconds": round(max(totals), 5),
        "cpu_seconds": median("cpu_seconds"),
    }


def main() -> None:
    """Answer the job on standard input."""
    job = json.load(sys.stdin)
    setting = Setting.from_json(job["setting"])
    # Before anything is computed: threads inherit this from the thread that starts them.
    torch.set_flush_denormal(setting.flush)
    torch.set_num_threads(setting.threads)
    row = measure(setting, Plan(**job["plan"]), job["outputs"])
    sys.stdout.write("\n" + json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
