"""The auxiliary losses, and the distributions that negatives are drawn from.

A further auxiliary loss is an entry of `AUXILIARIES`, and a field of the config for its weight. A
further distribution is an entry of `SOURCES`, and a name in `SamplingConfig.distribution`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.config import Config
from icefall_sampled.losses import ctc_loss
from icefall_sampled.modeling import Encoded
from icefall_sampled.modeling.ctc import CtcHead


@dataclass(frozen=True)
class Labelled:
    """An encoded batch and its labels."""

    encoded: Encoded
    targets: Tensor
    """(N, U) without blank, padded with anything."""
    target_lengths: Tensor
    """(N,)."""


@dataclass(frozen=True)
class Auxiliary:
    """An auxiliary loss."""

    weight: Callable[[Config], float | None]
    """Its weight; None where the config does not have it."""
    loss: Callable[[CtcHead, Labelled, bool], tuple[Tensor, Tensor | None]]
    """From the head and the batch: the loss and, where the last argument is true, the (N, V) mean
    posterior, which may be drawn from."""


def joint_ctc(head: CtcHead, batch: Labelled, posterior: bool) -> tuple[Tensor, Tensor | None]:
    """CTC on the encoder's output."""
    return _ctc(head, batch.encoded.out, batch, posterior)


def intermediate_ctc(
    head: CtcHead, batch: Labelled, posterior: bool
) -> tuple[Tensor, Tensor | None]:
    """The mean of CTC after intermediate layers (Lee and Watanabe 2021), the last's posterior."""
    *earlier, last = batch.encoded.taps
    last_loss, last_posterior = _ctc(head, last, batch, posterior)
    losses = [_ctc(head, hidden, batch, False)[0] for hidden in earlier]
    return torch.stack([*losses, last_loss]).mean(), last_posterior


def _ctc(
    head: CtcHead, hidden: Tensor, batch: Labelled, posterior: bool
) -> tuple[Tensor, Tensor | None]:
    layer, lengths = head.output, batch.encoded.lengths
    arguments = (hidden, layer.weight, layer.bias, batch.targets, lengths, batch.target_lengths)
    if posterior:  # this costs an extra pass where V is large
        return ctc_loss(*arguments, return_mean_posterior=True)
    return ctc_loss(*arguments), None


AUXILIARIES = {
    "ctc": Auxiliary(lambda config: config.ctc.joint_weight or None, joint_ctc),
    "interctc": Auxiliary(
        lambda config: config.ctc.intermediate_weight if config.ctc.intermediate_layers else None,
        intermediate_ctc,
    ),
}
"""The auxiliary losses by name, in the order in which the draft prefers their posteriors."""

SOURCES: dict[str, Callable[[dict[str, Tensor]], Tensor | None]] = {
    "uniform": lambda posteriors: None,
    "ctc": lambda posteriors: posteriors["ctc"],
    "interctc": lambda posteriors: posteriors["interctc"],
}
"""By `sampling.distribution`: from the posteriors of auxiliary losses to the (N, V) weights that
negatives are drawn with; None for equal ones."""
