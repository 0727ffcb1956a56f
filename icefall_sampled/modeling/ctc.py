"""The CTC output layer that joint, Intermediate and self-conditioned CTC share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icefall_sampled.losses.posterior_product import posterior_product


class CtcHead(nn.Module):
    """Output layer (V, D) of CTC and, for SC-CTC, a linear map from posteriors to the encoder.

    Lee and Watanabe 2021 share the output layer between the last and the intermediate losses;
    Nozaki and Komatsu 2021 (Eq. 7) add a linear map of the posterior to the hidden vector.
    """

    def __init__(
        self,
        width: int,
        vocab_size: int,
        *,
        joint: bool = True,
        layers: tuple[int, ...] = (),
        self_conditioning: bool = False,
    ) -> None:
        """Make the output layer.

        Args:
            width: D of the encoder.
            vocab_size: V, classes with blank.
            joint: whether there is joint CTC on the encoder's output.
            layers: blocks after which Intermediate CTC is computed, counted from 1.
            self_conditioning: whether their posteriors are fed back (SC-CTC).
        """
        super().__init__()
        self.joint, self.layers = joint, layers
        self.output = nn.Linear(width, vocab_size)
        self.feedback = nn.Linear(vocab_size, width) if self_conditioning else None

    def log_probs(self, hidden: Tensor) -> Tensor:
        """(N, T, D) -> (N, T, V), in nats."""
        return torch.log_softmax(self.output(hidden).float(), dim=-1)

    def condition(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, D), (N,) -> (N, T, D): hidden vectors plus a linear map of their posteriors.

        No (N, T, V) tensor is stored; frames beyond the lengths get the map's bias alone.
        """
        if self.feedback is None:
            return hidden
        back = posterior_product(
            hidden, self.output.weight, self.output.bias, self.feedback.weight.t(), lengths
        )
        return hidden + back + self.feedback.bias
