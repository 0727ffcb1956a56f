"""Layers that a model has only while it is trained with k2's pruned loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icefall_sampled.config import LossConfig, PrunedLossConfig
from icefall_sampled.losses import pruned_transducer_loss
from icefall_sampled.modeling.joiner import Joiner

INITIAL_SCALE = 0.25
"""icefall's value: with it, the first ranges come from nearly uniform logits."""


class SimpleProjections(nn.Module):
    """The simple loss's own projections to classes, (V, D) and (V, P); used only in training."""

    def __init__(
        self,
        config: PrunedLossConfig,
        *,
        encoder_width: int,
        predictor_width: int,
        vocab_size: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(encoder_width, vocab_size)
        self.predictor = nn.Linear(predictor_width, vocab_size)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(INITIAL_SCALE)

    def losses(
        self,
        joiner: Joiner,
        encoded: Tensor,
        predicted: Tensor,
        targets: Tensor,
        encoder_lengths: Tensor,
        target_lengths: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The simple and the pruned loss, means over utterances in nats.

        Args:
            joiner: the model's, for the pruned loss.
            encoded: (N, T, D) of the encoder.
            predicted: (N, U + 1, P) of the predictor.
            targets: (N, U) without blank, padded with anything.
            encoder_lengths: (N,).
            target_lengths: (N,).
        """
        return pruned_transducer_loss(
            self.encoder(encoded),
            self.predictor(predicted),
            joiner.encoder_projection(encoded),
            joiner.predictor_projection(predicted),
            joiner.output.weight,
            joiner.output.bias,
            targets,
            encoder_lengths,
            target_lengths,
            range_labels=self.config.range_labels,
            lm_scale=self.config.lm_scale,
            am_scale=self.config.am_scale,
            activation=joiner.activation,
        )

    def weighted(self, simple: Tensor, pruned: Tensor, warmth: float) -> Tensor:
        """The sum of both losses that is minimised.

        Args:
            simple: the simple loss.
            pruned: the pruned loss.
            warmth: progress of the warm-up, from 0 to 1.
        """
        simple_weight = 1.0 + warmth * (self.config.simple_weight - 1.0)
        return simple_weight * simple + (0.1 + 0.9 * warmth) * pruned


def warmth(loss: LossConfig, step: int) -> float:
    """Progress of the pruned loss's warm-up at a training step, from 0 to 1."""
    steps = max(0, step - loss.ctc_only_steps)
    return min(1.0, steps / loss.pruned.warmup_steps) if loss.pruned.warmup_steps else 1.0
