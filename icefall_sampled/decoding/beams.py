"""The hypotheses of a batched beam search as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Beams:
    """The hypotheses of the utterances; whatever is not there has a log_prob of -inf."""

    log_prob: Tensor
    """(N, B) float64, of the sum of the alignments found."""
    bonus: Tensor
    """(N, B) float64, what the language model adds to it."""
    num_labels: Tensor
    """(N, B)."""
    last: Tensor
    """(N, B) last label."""
    key: Tensor
    """(N, B) int64 that stands for the whole label sequence (a polynomial hash)."""
    parent_key: Tensor
    """(N, B) the key of the sequence without its last label."""
    predicted: Tensor
    """(N, B, J) projected predictor outputs."""
    state: Tensor
    """(N, B, …) of the predictor."""
    lm_log_probs: Tensor
    """(N, B, V) of the next label, or (N, B, 0) without a language model."""
    lm_state: Tensor
    """(N, B, …)."""

    def select(self, rows: Tensor, slots: Tensor) -> Beams:
        """The hypotheses `slots` (n, b) of the utterances `rows` (n, 1)."""
        return Beams(**{name: value[rows, slots] for name, value in vars(self).items()})

    def put(self, rows: Tensor, new: Beams) -> None:
        """Put (n, B) hypotheses in the place of those of the utterances `rows` (n,)."""
        for name, value in vars(new).items():
            getattr(self, name)[rows] = value

    @staticmethod
    def side_by_side(parts: list[Beams]) -> Beams:
        """(n, B) hypotheses of each part -> (n, parts * B)."""
        if len(parts) == 1:
            return parts[0]
        columns = {name: [vars(part)[name] for part in parts] for name in vars(parts[0])}
        return Beams(**{name: torch.cat(values, dim=1) for name, values in columns.items()})

    @property
    def rank(self) -> Tensor:
        """(N, B) what hypotheses are ordered by."""
        return self.log_prob + self.bonus


@dataclass
class Candidates:
    """Ways of C hypotheses of n utterances through a frame; every tensor is (n, C)."""

    rank: Tensor
    log_prob: Tensor
    """float64, of all alignments of the sequence that it becomes."""
    source: Tensor
    """The slot whose sequence it continues."""
    label: Tensor
    """What it adds to that sequence, or blank."""
    back: Tensor
    """The slot from which its likelier way came."""
    spoken: Tensor
    """The label of that way at this frame, or blank."""
    spoken_log_prob: Tensor

    def joined(self, other: Candidates) -> Candidates:
        """These, and then the others."""
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items()}
        return Candidates(**{name: torch.cat(pair, dim=1) for name, pair in pairs.items()})

    def gather(self, chosen: Tensor) -> Candidates:
        """The candidates in the columns `chosen` (n, B)."""
        return Candidates(**{name: x.gather(1, chosen) for name, x in vars(self).items()})
