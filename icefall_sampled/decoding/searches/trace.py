"""Backtracking of batched searches: the labels and frames of each hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.tokens import BLANK

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Step:
    """How the B hypotheses of n utterances came about at one frame."""

    source: Tensor
    """(n, B) the slot of the hypothesis that each continues."""
    label: Tensor
    """(n, B, L) the labels emitted, padded with blank; L may differ from frame to frame."""
    log_prob: Tensor
    """(n, B, L) of these labels, in nats."""


class Trace:
    """The steps of N utterances so far."""

    def __init__(self, num: int) -> None:
        self._pieces: list[list[tuple[Array, ...]]] = [[] for _ in range(num)]

    def extend(self, steps: list[Step], order: Tensor) -> None:
        """Add the steps of further frames.

        Args:
            steps: of successive frames, each of as many utterances as the one before, or fewer.
            order: the number of the utterance in each row; a step has the first rows.
        """
        if not steps:
            return
        most = max(step.label.shape[2] for step in steps)
        columns = [
            [step.source for step in steps],
            *([_widened(getattr(step, x), most) for step in steps] for x in ("label", "log_prob")),
        ]
        sizes = [len(step.label) for step in steps]
        flat = [torch.cat(column).cpu().numpy() for column in columns]  # the only transfer
        starts = np.cumsum([0, *sizes])
        for place, row in enumerate(order[: sizes[0]].tolist()):
            taken = [
                start + place
                for start, size in zip(starts[:-1], sizes, strict=True)
                if size > place
            ]
            self._pieces[row].append(tuple(array[taken] for array in flat))

    def hypothesis(self, row: int, slot: int, log_prob: float) -> Hypothesis:
        """The current hypothesis in a slot of an utterance; `log_prob` is its total."""
        if not self._pieces[row]:
            return Hypothesis(log_prob=log_prob)
        sources, labels, values = zip(*self._pieces[row], strict=True)
        source = np.concatenate(sources)
        label, nats = _joined(labels), _joined(values)
        spoken = []
        for t in range(len(label) - 1, -1, -1):
            here = zip(label[t, slot].tolist(), nats[t, slot].tolist(), strict=True)
            said = [(token, t, value) for token, value in here if token != BLANK]
            spoken += reversed(said)
            slot = source[t, slot]
        spoken.reverse()
        return Hypothesis(
            tokens=[token for token, _, _ in spoken],
            frames=[t for _, t, _ in spoken],
            token_log_probs=[value for _, _, value in spoken],
            log_prob=log_prob,
        )


def _widened(values: Tensor, most: int) -> Tensor:
    """(n, B, L) -> (n, B, most), padded with zeros, which are blank."""
    return pad(values, (0, most - values.shape[2]))


def _joined(pieces: Sequence[Array]) -> Array:
    """Concatenate (T, B, L) arrays of different L."""
    most = max(piece.shape[2] for piece in pieces)
    wide = [np.pad(piece, ((0, 0), (0, 0), (0, most - piece.shape[2]))) for piece in pieces]
    return np.concatenate(wide)
