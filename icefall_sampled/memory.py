"""Measure the memory of a training step, with the sampled and with the full softmax.

    python -m icefall_sampled.memory --exp-dir exp/example_ctc

On a GPU torch's allocator counts; on a CPU every allocation and release of the step is counted
from torch's profiler, so the figure is that of the tensors and not of the process.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from icefall_sampled import checkpoint
from icefall_sampled.config import Config, SamplingConfig
from icefall_sampled.config_json import from_json
from icefall_sampled.data import Batch, Utterances, read_cuts, usable_cuts
from icefall_sampled.modeling import Transducer
from icefall_sampled.script import run_script
from icefall_sampled.tokens import load_tokens
from icefall_sampled.training.optimizer import make_optimizer

logger = logging.getLogger(__name__)

MIB = 2**20


def peak_allocated_mib(step: Callable[[], None], device: torch.device) -> float:
    """The most memory that tensors made during `step` hold at once, in MiB."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return (torch.cuda.max_memory_allocated(device) - before) / MIB
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    live, peak = 0, 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()  # negative where memory is released
            peak = max(peak, live)
    return peak / MIB


def training_step_mib(model: Transducer, batch: Batch) -> float:
    """Peak memory of forward, backward and optimizer step on a batch, in MiB.

    It counts activations, gradients, and the optimizer's state, not the parameters, which are
    there before.
    """
    device = next(model.parameters()).device
    on_device = batch.to(device)

    def step() -> None:
        optimizer = make_optimizer(model, model.config.optimizer)
        losses = model(
            on_device.features, on_device.lengths, on_device.targets, on_device.target_lengths
        )
        losses.total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return peak_allocated_mib(step, device)


def measure(exp_dir: Path, *, max_duration_seconds: float = 0.0) -> dict[str, float]:
    """Peak MiB of a training step by softmax, on the same batch; also written to memory.json.

    Args:
        exp_dir: folder of a training run; its newest checkpoint says model and data.
        max_duration_seconds: speech in the batch, which the longest utterances fill; 0 takes
            that of training.

    Raises:
        ValueError: where there is no checkpoint or no data.
    """
    paths = checkpoint.find(exp_dir)
    if not paths:
        raise ValueError(f"exp_dir is {exp_dir}, there is no checkpoint in it")
    config = from_json(Config, checkpoint.load(paths[-1])["config"])
    tokens = load_tokens(config.data.lang_dir)
    batch = _longest(config, max_duration_seconds or config.data.max_duration_seconds)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    result = {
        name: training_step_mib(Transducer(variant, tokens.vocab_size).to(device), batch)
        for name, variant in _softmaxes(config).items()
    }
    (exp_dir / "memory.json").write_text(json.dumps(result))
    return result


def _softmaxes(config: Config) -> dict[str, Config]:
    """The config with each softmax: logits stored as in the paper, or recomputed in chunks."""
    full = SamplingConfig(strategy="none", distribution="uniform")
    rows = {"full": full}
    if config.sampling.strategy != "none":
        rows["sampled"] = config.sampling
    losses = {
        "stored": replace(config.loss, implementation="naive"),
        "fused": replace(config.loss, implementation="fused"),
    }
    return {
        f"{name}, {how}": replace(config, sampling=sampling, loss=loss)
        for how, loss in losses.items()
        for name, sampling in rows.items()
    }


def _longest(config: Config, seconds: float) -> Batch:
    """The longest utterances of the training set that fit into a batch."""
    tokens = load_tokens(config.data.lang_dir)
    cuts = read_cuts(config.data.train_cuts, argument="data.train_cuts")
    usable, _ = usable_cuts(cuts, tokens, config.data, subsampling=config.encoder.subsampling)
    longest = sorted(usable, key=lambda cut: (-cut.duration, cut.id))
    count = max(1, int(seconds / longest[0].duration))
    return Utterances(tokens)[longest[:count]]  # type: ignore[index]


def main(*, exp_dir: Path, max_duration_seconds: float = 0.0) -> None:
    """Measure the memory of a training step with the sampled and with the full softmax.

    Args:
        exp_dir: folder of a training run.
        max_duration_seconds: speech in the batch; 0 takes that of training.
    """
    for name, mib in measure(exp_dir, max_duration_seconds=max_duration_seconds).items():
        print(f"{mib:8.1f} MiB at the peak of a training step: {name} softmax")


if __name__ == "__main__":
    run_script(main)
