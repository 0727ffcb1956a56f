"""A training step, measured and predicted."""

from __future__ import annotations

import torch

from icefall_sampled.config import Config
from icefall_sampled.data import Batch
from icefall_sampled.memory import Utterance, predict, whole_step_mib
from icefall_sampled.modeling import Transducer


def batch_of(num: int, utterance: Utterance, *, num_labels: int) -> Batch:
    """Utterances of one size whose labels are among the first few: no K has to be widened."""
    labels = torch.arange(utterance.labels) % num_labels + 1
    return Batch(
        features=torch.randn(num, utterance.frames, 80),
        lengths=torch.full((num,), utterance.frames),
        targets=labels.repeat(num, 1),
        target_lengths=torch.full((num,), utterance.labels),
        ids=[""] * num, texts=[""] * num, duration_seconds=num * utterance.seconds, rejected=[],
    )  # fmt: skip


def error(config: Config, utterance: Utterance, num: int, *, vocab_size: int) -> float:
    """Predicted over measured, minus one. Both are printed; pytest -s shows them."""
    num_labels = min(vocab_size, config.sampling.num_sampled) - 1
    batch = batch_of(num, utterance, num_labels=num_labels)
    measured = whole_step_mib(Transducer(config, vocab_size), batch)
    predicted = predict(config, utterance, vocab_size).total(num)
    difference = predicted / measured - 1
    print(
        f"\n{config.sampling.strategy} {config.loss.implementation} N={num} V={vocab_size}: "
        f"measured {measured:.1f} MiB, predicted {predicted:.1f} ({100 * difference:+.1f} %)"
    )
    return difference
