"""The outputs of a model for a batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from icefall_sampled.sampling import SampledVocabulary


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of a batch, means over its utterances in nats; None where there is no such loss."""

    total: Tensor
    """The weighted sum that is minimised."""
    transducer: Tensor | None = None
    """With the config's softmax; the pruned loss where that is trained."""
    simple: Tensor | None = None
    """The simple loss, which finds the ranges of the pruned loss."""
    ctc: Tensor | None = None
    interctc: Tensor | None = None
    vocabulary: SampledVocabulary | None = None
    """The classes of the softmax; None for all of them."""
    widened: bool = False
    """Whether K had to grow beyond `sampling.num_sampled` to hold this batch's positives."""


@dataclass(frozen=True)
class Encoded:
    """The outputs of the encoder for a batch."""

    out: Tensor  # (N, T, D)
    lengths: Tensor  # (N,)
    taps: list[Tensor]  # (N, T, D) after each intermediate block
