"""Measure the memory of a training step, with the sampled and with the full softmax.

python -m icefall_sampled.memory measure --exp-dir exp/example_ctc
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from icefall_sampled import checkpoint
from icefall_sampled.config import Config, SamplingConfig, from_json
from icefall_sampled.data import Batch, Utterances, read_cuts, usable_cuts
from icefall_sampled.memory.allocations import MIB, peak_allocated_mib
from icefall_sampled.memory.footprint import parameter_bytes
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import load_tokens
from icefall_sampled.training.optimizer import make_optimizer


def training_step_mib(model: Transducer, batch: Batch) -> float:
    """Peak memory of forward, backward and optimizer step on a batch, in MiB.

    It counts activations, gradients and the optimizer's state, but not the parameters, which exist
    before the step.
    """
    device = next(model.parameters()).device
    on_device = batch.to(device)

    def step() -> None:
        optimizer = make_optimizer(model, model.config.optimizer)
        _step(model, on_device, optimizer)

    return peak_allocated_mib(step, device)


def whole_step_mib(model: Transducer, batch: Batch) -> float:
    """Total memory of a training step after the first, in MiB.

    It is the sum of parameters, the batch, the optimizer's states and the step's peak.
    """
    device = next(model.parameters()).device
    on_device = batch.to(device)
    optimizer = make_optimizer(model, model.config.optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # creates the states; the learning rate is still zero
    optimizer.zero_grad(set_to_none=True)
    resident = 3 * parameter_bytes(model) + 4 * on_device.features.numel()
    return resident / MIB + peak_allocated_mib(lambda: _step(model, on_device, optimizer), device)


def _step(model: Transducer, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    losses = model(batch.features, batch.lengths, batch.targets, batch.target_lengths)
    losses.total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), model.config.optimizer.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def measure_run(exp_dir: Path, *, max_duration_seconds: float = 0.0) -> dict[str, float]:
    """Peak MiB of a training step by softmax, on the same batch; also written to memory.json.

    Args:
        exp_dir: folder of a training run; its newest checkpoint determines model and data.
        max_duration_seconds: speech in the batch, filled with the longest utterances; 0 takes
            that of training.

    Raises:
        ValueError: if there is no checkpoint or no data.
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
    """The config with each softmax: logits stored as in the paper, or recomputed in chunks.

    For a run with the pruned loss, that loss too.
    """
    full = SamplingConfig(strategy="none", distribution="uniform")
    rows = {"full": full}
    if config.sampling.strategy != "none":
        rows["sampled"] = config.sampling
    loss = replace(config.loss, kind="transducer")
    losses = {
        "stored": replace(loss, implementation="naive"),
        "fused": replace(loss, implementation="fused"),
    }
    pruned = {"full, pruned": config} if config.loss.kind == "pruned" else {}
    return pruned | {
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
    for name, mib in measure_run(exp_dir, max_duration_seconds=max_duration_seconds).items():
        print(f"{mib:8.1f} MiB at the peak of a training step: {name} softmax")
