"""Prediction networks: an LSTM over all previous labels, or a convolution over the last few.

Both read blank (id 0) as the start of the sentence, and both can be stepped label by label:

    state = predictor.initial_state(N, device)
    out, state = predictor.step(labels, state)    # (N,) -> (N, D)

A state is a tensor whose first dimension is N, so hypotheses are picked and reordered by
plain indexing, whichever predictor it is.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from icefall_sampled.config import PredictorConfig


class Predictor(Protocol):
    """Any `nn.Module` with these members; a recipe may bring its own."""

    width: int
    """P of its output."""

    def __call__(self, history: Tensor) -> Tensor:
        """(N, U + 1) labels that begin with blank -> (N, U + 1, P)."""

    def initial_state(self, num: int, device: torch.device) -> Tensor:
        """The state of N hypotheses before the first label, (N, …)."""

    def step(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(N,), state -> (N, P), state."""


class LstmPredictor(nn.Module):
    """Embedding and LSTM (Graves 2012)."""

    def __init__(self, config: PredictorConfig, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, config.embedding_width)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(
            config.embedding_width,
            config.hidden_width,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.width = config.hidden_width

    def forward(self, history: Tensor) -> Tensor:
        """(N, U + 1) labels that begin with blank -> (N, U + 1, D)."""
        out: Tensor = self.lstm(self.dropout(self.embedding(history)))[0]
        return out

    def initial_state(self, num: int, device: torch.device) -> Tensor:
        """(N, 2, layers, D): hidden and cell vectors."""
        dtype = self.embedding.weight.dtype
        return torch.zeros(num, 2, self.lstm.num_layers, self.width, dtype=dtype, device=device)

    def step(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(N,), state -> (N, D), state.

        A cell for each layer: a call of the whole LSTM costs torch 2 milliseconds on a CPU.
        """
        out = self.embedding(labels)
        layers = []
        for number, weights in enumerate(self.lstm.all_weights):
            hidden, cell = state[:, :, number].unbind(1)
            out, cell = torch.lstm_cell(out, (hidden, cell), *weights)
            layers.append(torch.stack([out, cell], dim=1))
        return out, torch.stack(layers, dim=2)


class StatelessPredictor(nn.Module):
    """Embedding and a depthwise convolution over the last labels (Ghodsi et al. 2020)."""

    def __init__(self, config: PredictorConfig, vocab_size: int) -> None:
        super().__init__()
        width = config.embedding_width
        self.context = config.context_labels
        self.embedding = nn.Embedding(vocab_size, width)
        self.dropout = nn.Dropout(config.dropout)
        self.convolution = nn.Conv1d(width, width, self.context, groups=width)
        self.out = nn.Linear(width, config.hidden_width)
        self.width = config.hidden_width

    def forward(self, history: Tensor) -> Tensor:
        """(N, U + 1) labels that begin with blank -> (N, U + 1, D)."""
        history = nn.functional.pad(history, (self.context - 1, 0))
        mixed = self.convolution(self.dropout(self.embedding(history)).transpose(1, 2))
        out: Tensor = self.out(torch.relu(mixed).transpose(1, 2))
        return out

    def initial_state(self, num: int, device: torch.device) -> Tensor:
        """(N, context - 1) previous labels, blank where there is none."""
        return torch.zeros(num, self.context - 1, dtype=torch.int64, device=device)

    def step(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(N,), state -> (N, D), state."""
        history = torch.cat([state, labels[:, None]], dim=1)
        mixed = self.convolution(self.embedding(history).transpose(1, 2))[..., 0]
        return self.out(torch.relu(mixed)), history[:, 1:]


def make_predictor(config: PredictorConfig, vocab_size: int) -> Predictor:
    """The predictor that the config names."""
    if config.kind == "lstm":
        return LstmPredictor(config, vocab_size)
    return StatelessPredictor(config, vocab_size)
