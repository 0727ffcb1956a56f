"""The peak of a training step, from what its stages allocate.

Memory rises through forward, is highest early in backward, and falls from there. At the moment
when a stage is computed, there are

    resident   parameters, AdamW's two states, features; gradients too where they add up
    forward    what the stages before it keep, and the stage's own peak
    backward   what it and the stages before it keep, its own peak beyond that, and the gradients
               of the stages after it
    update     all gradients, and AdamW's temporary tensors

The step's need is the largest of these sums. All in float32: autocast is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from icefall_sampled.config import Config
from icefall_sampled.memory.allocations import MIB
from icefall_sampled.memory.footprint import Stage
from icefall_sampled.memory.stages import FLOAT_BYTES, Utterance, encoder_stages, head_stages

ADAMW_STATES = 2
"""Running means of the gradient and of its square."""
ADAMW_TEMPORARIES = 3
"""Tensors as large as the largest parameter, while AdamW goes through them one by one (CPU)."""

COMPONENTS = ("parameters", "optimizer", "gradients", "features", "encoder", "predictor", "CTC",
              "joiner and loss")  # fmt: skip

Bytes = dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """What a training step of a config needs, for any number of utterances of one size."""

    utterance: Utterance
    stages: tuple[Stage, ...]
    """In the order of forward."""
    batch_bytes: float
    """Of an utterance's features."""
    accumulates: bool
    """Whether gradients of an earlier batch are there already."""

    def peak(self, num: int) -> Bytes:
        """MiB of each component at the highest moment of a step with `num` utterances."""
        highest = max(self._moments(num), key=lambda moment: sum(moment.values()))
        return {name: highest[name] / MIB for name in COMPONENTS}

    def total(self, num: int) -> float:
        """MiB at the highest moment."""
        return sum(self.peak(num).values())

    def own(self, num: int) -> Bytes:
        """MiB of each component at the moment when that component is largest."""
        moments = self._moments(num)
        return {name: max(moment[name] for moment in moments) / MIB for name in COMPONENTS}

    def _moments(self, num: int) -> list[Bytes]:
        """Bytes of each component at every moment that may be the highest."""
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
    """What a training step needs, from running each of its stages on a small batch.

    Args:
        config: of the model, its losses and optimizer.
        utterance: the size of every utterance of a batch.
        vocab_size: V, classes with blank.

    Raises:
        ValueError: where the config cannot be trained, or the utterance is too short for it.
    """
    config.validate()
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
    """The most utterances whose step fits into `mib`; 0 where not even one does."""
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
