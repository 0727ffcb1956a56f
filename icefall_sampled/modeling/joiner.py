"""The joint network: activation(encoder + predictor), then one linear layer over classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icefall_sampled.config import JoinerConfig


class Joiner(nn.Module):
    """Holds the projections and the output layer (V, J).

    Training never calls the output layer on the whole lattice: `losses.transducer_loss` takes
    the two projections and this layer's weight and bias, and decides itself which classes and
    which nodes it computes. Decoding computes the nodes that it visits
    (`decoding.constraint.OutputLayer`).
    """

    def __init__(
        self, config: JoinerConfig, *, encoder_width: int, predictor_width: int, vocab_size: int
    ) -> None:
        super().__init__()
        self.encoder_projection = nn.Linear(encoder_width, config.width)
        self.predictor_projection = nn.Linear(predictor_width, config.width, bias=False)
        self.output = nn.Linear(config.width, vocab_size)
        self.width, self.activation = config.width, config.activation

    def hidden(self, encoder: Tensor, predictor: Tensor) -> Tensor:
        """Two projections that broadcast against each other -> (…, J), the output layer's input."""
        activate = torch.tanh if self.activation == "tanh" else torch.relu
        return activate(encoder + predictor)
