"""The hypotheses of a batched beam search as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Beams:
    """The hypotheses of the utterances; an unused slot has a log_prob of -inf."""

    log_prob: Tensor
    """(N, B) float64, summed over the alignments found."""
    bonus: Tensor
    """(N, B) float64, the score that the language model adds."""
    num_labels: Tensor
    """(N, B)."""
    last: Tensor
    """(N, B) last label."""
    key: Tensor
    """(N, B) int64, a polynomial hash of the whole label sequence."""
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
        """Replace the hypotheses of the utterances `rows` (n,) by new (n, B) ones."""
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
        """(N, B) the scores that hypotheses are ordered by."""
        return self.log_prob + self.bonus


@dataclass
class Candidates:
    """C candidates for the next hypotheses of n utterances; every tensor is (n, C)."""

    rank: Tensor
    log_prob: Tensor
    """float64, summed over the alignments of the new sequence."""
    source: Tensor
    """The slot whose sequence it continues."""
    label: Tensor
    """The label that it adds to that sequence, or blank."""
    back: Tensor
    """The slot that its most probable alignment comes from."""
    spoken: Tensor
    """The label of that alignment at this frame, or blank."""
    spoken_log_prob: Tensor

    def joined(self, other: Candidates) -> Candidates:
        """These candidates, followed by the others."""
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items()}
        return Candidates(**{name: torch.cat(pair, dim=1) for name, pair in pairs.items()})

    def gather(self, chosen: Tensor) -> Candidates:
        """The candidates in the columns `chosen` (n, B)."""
        return Candidates(**{name: x.gather(1, chosen) for name, x in vars(self).items()})
