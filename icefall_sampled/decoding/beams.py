"""The hypotheses of a batched beam search as tensors, and how they pass a frame with blank."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.decoding.constraint import OutputLayer
from icefall_sampled.tokens import BLANK


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


def stay(
    old: Beams, log_probs: Tensor, nodes: tuple[Tensor, ...], output: OutputLayer
) -> Candidates:
    """Each hypothesis with blank, or else with the label that makes another one into it.

    What is taken from a label in this way is no candidate of its own any more: its entry in
    `log_probs` becomes -inf.
    """
    total = old.log_prob.clone()
    total[nodes] += log_probs[:, BLANK].double()
    slots = torch.arange(total.shape[1], device=total.device).expand_as(total)
    blank = torch.zeros_like(slots)
    back, spoken, nats = slots.clone(), blank.clone(), torch.zeros_like(total)
    there = old.log_prob > -math.inf
    same = (old.parent_key[:, :, None] == old.key[:, None, :]) & there[:, :, None]
    rows, child, parent = torch.nonzero(same & there[:, None, :], as_tuple=True)
    if len(rows):
        label = old.last[rows, child]
        columns, possible = output.columns(label, rows)
        rows, child, parent, label, columns = (
            x[possible] for x in (rows, child, parent, label, columns)
        )
        number = torch.zeros_like(slots)
        number[nodes] = torch.arange(len(nodes[0]), device=total.device)
        node = number[rows, parent]
        value = log_probs[node, columns].double()
        log_probs[node, columns] = -math.inf
        arriving, staying = old.log_prob[rows, parent] + value, total[rows, child]
        total[rows, child] = torch.logaddexp(staying, arriving)
        likelier = arriving > staying
        back[rows, child] = torch.where(likelier, parent, child)
        spoken[rows, child] = torch.where(likelier, label, 0)
        nats[rows, child] = torch.where(likelier, value, 0.0)
    return Candidates(
        rank=total + old.bonus, log_prob=total, source=slots, label=blank,
        back=back, spoken=spoken, spoken_log_prob=nats,
    )  # fmt: skip
