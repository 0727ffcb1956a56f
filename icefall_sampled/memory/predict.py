"""The peak memory of a training step, from the memory of its stages.

Memory rises during forward, is highest early in backward, and falls from there. While a stage is
computed, these are allocated:

    resident   parameters, AdamW's two states, features; also gradients if they accumulate
    forward    kept memory of the stages before it, and the stage's own peak
    backward   kept memory of it and the stages before it, its own peak beyond that, and the
               gradients of the stages after it
    update     all gradients, and AdamW's temporary tensors

The memory of the step is the largest of these sums. All is float32: autocast is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from icefall_sampled.config import Config, check
from icefall_sampled.memory.allocations import MIB
from icefall_sampled.memory.footprint import Stage
from icefall_sampled.memory.stages import FLOAT_BYTES, Utterance, encoder_stages, head_stages

ADAMW_STATES = 2
"""Running means of the gradient and of its square."""
ADAMW_TEMPORARIES = 3
"""Tensors of the largest parameter's size, while AdamW updates one at a time (CPU)."""

COMPONENTS = ("parameters", "optimizer", "gradients", "features", "encoder", "predictor", "CTC",
              "joiner and loss")  # fmt: skip

Bytes = dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """Memory of a training step of a config, for any number of utterances of one size."""

    utterance: Utterance
    stages: tuple[Stage, ...]
    """In the order of the forward pass."""
    batch_bytes: float
    """Size of one utterance's features."""
    accumulates: bool
    """Whether gradients of an earlier batch are already allocated."""

    def peak(self, num: int) -> Bytes:
        """MiB of each component at the peak of a step with `num` utterances."""
        highest = max(self._moments(num), key=lambda moment: sum(moment.values()))
        return {name: highest[name] / MIB for name in COMPONENTS}

    def total(self, num: int) -> float:
        """MiB at the peak."""
        return sum(self.peak(num).values())

    def own(self, num: int) -> Bytes:
        """MiB of each component at its own largest."""
        moments = self._moments(num)
        return {name: max(moment[name] for moment in moments) / MIB for name in COMPONENTS}

    def _moments(self, num: int) -> list[Bytes]:
        """Bytes of each component at every moment that may be the peak."""
        moments = []
        now = self._resident(num)
        pairs = [(stage, stage.at(num)) for stage in self.stages]
        for stage, size in pairs:
            moments.append(_with(now, stage.component, size.forward))
            now = _with(now, stage.component, size.kept)
        for stage, size in reversed(pairs):
            moments.append(_with(now, stage.component, size.backward))
            now = _with(now, stage.component, -size.kept)
            if not self.accumulates:
                now = _with(now, "gradients", stage.parameters)
        temporaries = ADAMW_TEMPORARIES * max(stage.largest for stage in self.stages)
        return [*moments, _with(now, "optimizer", temporaries)]

    def _resident(self, num: int) -> Bytes:
        parameters = sum(stage.parameters for stage in self.stages)
        return {
            **dict.fromkeys(COMPONENTS, 0.0),
            "parameters": parameters,
            "optimizer": ADAMW_STATES * parameters,
            "gradients": parameters if self.accumulates else 0.0,
            "features": num * self.batch_bytes,
        }


def _with(moment: Bytes, component: str, more: float) -> Bytes:
    return {**moment, component: moment[component] + more}


def predict(config: Config, utterance: Utterance, vocab_size: int) -> Prediction:
    """Memory of a training step, from running each of its stages on a small batch.

    Args:
        config: configures the model, its losses and the optimizer.
        utterance: the size of every utterance of a batch.
        vocab_size: V, classes with blank.

    Raises:
        ValueError: if the config cannot be trained, or the utterance is too short for it.
    """
    check(config)
    if utterance.encoder_frames(config) < 2 or utterance.labels < 1:
        raise ValueError(f"utterance is {utterance}, it must have two encoder frames and a label")
    with torch.random.fork_rng(devices=[]):
        front, block = encoder_stages(config.encoder, utterance.frames)
        head = head_stages(config, utterance, vocab_size)
    stages = [front]
    for number in range(1, config.encoder.num_layers + 1):
        stages.append(block)
        if "conditioning" in head and number in config.ctc.intermediate_layers:
            stages.append(head["conditioning"])
    stages += [head[name] for name in ("ctc", "sampling", "predictor", "lattice") if name in head]
    return Prediction(
        utterance=utterance,
        stages=tuple(stages),
        batch_bytes=FLOAT_BYTES * utterance.frames * config.encoder.num_features,
        accumulates=config.optimizer.accumulate > 1,
    )


def largest_batch(prediction: Prediction, mib: float) -> int:
    """The largest number of utterances whose step fits into `mib`; 0 if not even one does."""
    if prediction.total(1) > mib:
        return 0
    fits, too_many = 1, 2
    while prediction.total(too_many) <= mib:
        fits, too_many = too_many, 2 * too_many
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if prediction.total(middle) <= mib:
            fits = middle
        else:
            too_many = middle
    return fits
