"""Memory of a training step, measured on the device at hand, and the largest batch that fits.

    python -m icefall_sampled.memory RECIPE VARIANT --gpu-mib 24576
    python -m icefall_sampled.memory measure --exp-dir exp/example_ctc

Whole steps of the real model are run, so any encoder will do. All utterances of a batch have one
length: then memory grows linearly in their number (`allocations.Line`).
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from icefall_sampled import checkpoint
from icefall_sampled.allocations import MIB, Line, available_mib, peak_allocated_mib
from icefall_sampled.cli import run_script
from icefall_sampled.config import Config, SamplingConfig, check
from icefall_sampled.data import Batch
from icefall_sampled.errors import UserError
from icefall_sampled.files import write_text
from icefall_sampled.losses import chunk_mib
from icefall_sampled.model_files import best_device, config_of
from icefall_sampled.modeling import Factories
from icefall_sampled.modeling.encoder import frame_counter
from icefall_sampled.recipes.recipe import (
    Utterance,
    load_recipe,
    longest_batch,
    utterance_of,
    vocab_size_of,
)
from icefall_sampled.running_mean import RunningMean
from icefall_sampled.tables import markdown
from icefall_sampled.tokens import load_tokens
from icefall_sampled.training.objective import Objective

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Utterances in the batches that are measured, as many of them as it takes."""
SHARE = 0.6
"""Share of the free memory that a measured step may take."""
COPIES = 4
"""Tensors (T, U + 1, K) that the naive loss has at its peak, besides (T, U + 1, J)."""

logger = logging.getLogger(__name__)


class TooLong(UserError):
    """The memory of this machine does not do for utterances of this length."""


class Steps:
    """Training steps of a model with random weights, on the best device."""

    def __init__(self, config: Config, vocab_size: int, factories: Factories | None = None) -> None:
        check(config)
        self.config, self.device = config, best_device()
        self.precision = config.training.precision if self.device.type == "cuda" else "float32"
        self._factories = factories or Factories()
        torch.manual_seed(0)  # the nodes that a draft chooses depend on the weights
        model = self._factories.model(config, vocab_size)
        self.objective = Objective(model, config).to(self.device).train()
        full = config.sampling.strategy == "none"
        self.num_classes = vocab_size if full else min(vocab_size, config.sampling.num_sampled)

    def first_mib(self, batch: Batch) -> float:
        """Peak of a run's first step, the optimizer's states included, weights and batch not."""
        on_device = batch.to(self.device)
        return peak_allocated_mib(lambda: self._step(self._optimizer(), on_device), self.device)

    def line(self, utterance: Utterance, **options: Any) -> Line:
        """Measure batches of 1, 2, 4, … utterances until the line through them is settled.

        Args:
            utterance: the size of every utterance.
            options: of the objective's `forward`.

        Raises:
            UserError: if the utterance is too short.
            TooLong: if its logits are to be stored and too many for this machine.
        """
        optimizer, room = self._optimizer(), SHARE * available_mib(self.device)
        self._check(utterance, room)
        trained = [weight for weight in self.objective.parameters() if weight.requires_grad]
        for weight in trained:
            weight.grad = torch.zeros_like(weight)
        optimizer.step()  # creates its states; the learning rate is still zero
        optimizer.zero_grad(set_to_none=True)
        states = [x for state in optimizer.state.values() for x in state.values()]
        if self.config.training.mean_every_steps:
            states += RunningMean(self.objective.model).weights.values()
        before = _mib([*self.objective.parameters(), *self.objective.buffers(), *states])
        resident = before + (_mib(trained) if self.config.optimizer.accumulate > 1 else 0.0)
        line = Line(resident, ())
        for num in SIZES:
            if num > 2 and (line.is_settled(chunk_mib()) or line.at(num) > room):
                break
            torch.manual_seed(0)
            batch = utterance.noise(num, num_classes=self.num_classes).to(self.device)
            peak = peak_allocated_mib(partial(self._step, optimizer, batch, **options), self.device)
            line = Line(resident, (*line.points, (num, before + _mib([batch.features]) + peak)))
        if not line.is_settled(chunk_mib()):
            logger.warning("%d utterances are too few to be sure of more", line.points[-1][0])
        return line

    def _check(self, utterance: Utterance, room: float) -> None:
        num_frames = frame_counter(self.objective.model.encoder)(utterance.frames)
        if num_frames < 2 or utterance.labels < 1:
            raise UserError(
                f"utterance is {utterance}, it must have two encoder frames and a label"
            )
        if self.config.loss.implementation == "naive" and self.config.loss.kind == "transducer":
            node = self.config.joiner.width + COPIES * self.num_classes
            needed = 2 * 4 * num_frames * (utterance.labels + 1) * node / MIB
            if needed > room:
                raise TooLong(
                    f"logits of two utterances of {utterance.seconds:g} s need {needed:.0f} MiB, "
                    f"and {room:.0f} are free here"
                )

    def _optimizer(self) -> torch.optim.Optimizer:
        return self._factories.optimizer(self.objective, self.config.optimizer)

    def _step(self, optimizer: torch.optim.Optimizer, batch: Batch, **options: Any) -> None:
        """A step as the trainer takes it; two accumulated batches need as much as more would."""
        config, mixed = self.config.optimizer, self.precision != "float32"
        dtype = torch.float16 if self.precision == "float16" else torch.bfloat16
        for _ in range(min(2, config.accumulate)):
            with torch.autocast(self.device.type, dtype=dtype, enabled=mixed):
                losses = self.objective(
                    batch.features, batch.lengths, batch.targets, batch.target_lengths, **options
                )
            losses.total.backward()
        nn.utils.clip_grad_norm_(self.objective.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _mib(tensors: list[Any]) -> float:
    return sum(x.numel() * x.element_size() for x in tensors if isinstance(x, Tensor)) / MIB


def advise(
    recipe: str,
    variant: str,
    others: tuple[str, ...] = (),
    /,
    *,
    gpu_mib: float,
    reserve_mib: float = 1024.0,
    utterance_seconds: float | None = None,
    labels_per_second: float | None = None,
    vocab_size: int | None = None,
) -> None:
    """Say how large a batch a GPU holds, from steps with a few utterances on this machine.

    They run on its GPU, or else on its CPU: another one's kernels may need more or less.

    Args:
        recipe: folder of a recipe, such as egs/asterisk/ASR, or its corpus, such as asterisk.
        variant: a variant of the recipe.
        others: further variants, to compare with it on the same utterances.
        gpu_mib: memory of the GPU, in MiB.
        reserve_mib: memory left for CUDA itself, the workspaces of its libraries and
            fragmentation: an allowance, not a measurement.
        utterance_seconds: length of every utterance in the batch; by default the longest that is
            trained on.
        labels_per_second: of these utterances; by default that of the corpus.
        vocab_size: classes with blank; by default those of the corpus.
    """
    if not 0 <= reserve_mib < gpu_mib < float("inf"):
        raise UserError(
            f"gpu_mib is {gpu_mib} and reserve_mib {reserve_mib}, they must be 0 <= reserve < gpu"
        )
    torch.set_flush_denormal(True)  # as in training: denormal numbers slow a CPU down tenfold
    variants, factories = load_recipe(recipe)
    for name in (variant, *others):
        if name not in variants:
            raise UserError(f"variant is {name!r}, it must be one of " + ", ".join(variants))
    data = variants[variant].data
    vocab_size = vocab_size_of(data, vocab_size)
    utterance, source = utterance_of(data, utterance_seconds, labels_per_second)
    lines: dict[str, Line] = {}
    for name in (variant, *others):
        for how, config in _losses(variants[name]).items():
            steps = Steps(config, vocab_size, factories)
            try:
                lines[f"{name}{how}"] = steps.line(utterance)
            except TooLong as error:
                if not lines:
                    raise
                logger.warning("%s%s is not measured: %s", name, how, error)
    print(
        f"V {vocab_size}, {utterance.seconds:g} s and {utterance.labels} labels an utterance, "
        f"{steps.precision} on {steps.device}\n({source})\n"
    )
    print(_table(lines, utterance, gpu_mib - reserve_mib) + "\n")
    print(_advice(lines, utterance, gpu_mib, reserve_mib))


def _losses(config: Config) -> dict[str, Config]:
    """The config itself and, as the paper does it, with stored logits; as endings of its name."""
    loss = config.loss
    if loss.kind == "pruned":
        return {"": config}
    if loss.implementation == "naive":
        return {"": config, ", fused": replace(config, loss=replace(loss, implementation="fused"))}
    stored = replace(config, loss=replace(loss, implementation="naive"))
    return {"": config, ", logits stored": stored}


def _table(lines: dict[str, Line], utterance: Utterance, room: float) -> str:
    header = ["MiB", "before a step", "1 utterance", "a further one", "measured up to",
              "largest max_duration_seconds"]  # fmt: skip
    rows = [
        [name, f"{line.resident_mib:.1f}", f"{line.at(1):.1f}", f"{line.each:.1f}",
         str(line.points[-1][0]), f"{line.largest(room) * utterance.seconds:.1f}"]
        for name, line in lines.items()
    ]  # fmt: skip
    return markdown(header, rows, numbers=True)


def _advice(
    lines: dict[str, Line], utterance: Utterance, gpu_mib: float, reserve_mib: float
) -> str:
    """Two sentences: the largest batch of the first row, and the row that allows the largest."""
    seconds, room = utterance.seconds, gpu_mib - reserve_mib
    nums = {name: line.largest(room) for name, line in lines.items()}
    (own, num), best = next(iter(nums.items())), max(nums, key=lambda name: nums[name])
    first = (
        f"The largest max_duration_seconds of {own} in {room:.0f} of {gpu_mib:.0f} MiB is "
        f"{num * seconds:.1f}: {num} x {seconds:g} s."
    )
    if not num:
        first = (
            f"Not even one utterance of {seconds:g} s fits: a step of {own} needs "
            f"{lines[own].at(1):.0f} MiB, and {room:.0f} of {gpu_mib:.0f} are there."
        )
    if nums[best] == num:
        return f"{first} Nothing else in the table would let it grow."
    grown = f", by {100 * (nums[best] / num - 1):.0f} %" if num else ""
    return f"{first} {best} would let it grow to {nums[best] * seconds:.1f}{grown}."


def measure(
    *, exp_dir: Path, max_duration_seconds: float = 0.0, model_code: Path | None = None
) -> None:
    """Measure the memory of a training step with the sampled and with the full softmax.

    The batch is the longest utterances of the training set. The figures, MiB at the peak beyond
    weights and batch, are also written to memory.json in the folder.

    Args:
        exp_dir: folder of a training run; its newest checkpoint determines model and data.
        max_duration_seconds: speech in the batch; 0 takes that of training.
        model_code: the file with the factories of the model's parts, if they are in no package.
    """
    paths = checkpoint.find(exp_dir)
    if not paths:
        raise UserError(f"exp_dir is {exp_dir}, there is no checkpoint in it")
    torch.set_flush_denormal(True)
    factories, config = config_of(checkpoint.load(paths[-1]), code=model_code)
    tokens = load_tokens(config.data.lang_dir)
    frames = frame_counter(factories.encoder(config.encoder))
    seconds = max_duration_seconds or config.data.max_duration_seconds
    batch, result = longest_batch(config.data, tokens, frames, seconds), {}
    for name, softmax in _softmaxes(config).items():
        result[name] = Steps(softmax, tokens.vocab_size, factories).first_mib(batch)
        print(f"{result[name]:8.1f} MiB at the peak of a training step: {name} softmax")
    write_text(exp_dir / "memory.json", json.dumps(result))


def _softmaxes(config: Config) -> dict[str, Config]:
    """The config with each softmax and loss; for a run with the pruned loss, that one too."""
    softmaxes = {"full": SamplingConfig(strategy="none", distribution="uniform")}
    if config.sampling.strategy != "none":
        softmaxes["sampled"] = config.sampling
    pruned = {"full, pruned": config} if config.loss.kind == "pruned" else {}
    stored = replace(config.loss, kind="transducer", implementation="naive")
    losses = {"stored": stored, "fused": replace(stored, implementation="fused")}
    return pruned | {
        f"{name}, {how}": replace(config, sampling=sampling, loss=loss)
        for how, loss in losses.items()
        for name, sampling in softmaxes.items()
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        run_script(measure, args=sys.argv[2:])
    run_script(advise)
