"""Which way the hypotheses of a batched search came: label by label, back through the frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from icefall_sampled.decoding.hypothesis import Hypothesis
from icefall_sampled.tokens import BLANK


@dataclass(frozen=True)
class Step:
    """What the B hypotheses of n utterances did at a frame."""

    source: Tensor
    """(n, B) the slot that each had before."""
    label: Tensor
    """(n, B) what it said, or blank."""
    log_prob: Tensor
    """(n, B) of that label, in nats."""


class Trace:
    """The steps of N utterances so far."""

    def __init__(self, num: int) -> None:
        self._pieces: list[list[tuple[np.ndarray[Any, Any], ...]]] = [[] for _ in range(num)]

    def extend(self, steps: list[Step], order: Tensor) -> None:
        """Add the steps of further frames.

        Args:
            steps: of one frame after the other, each of as many utterances or fewer.
            order: the number of each utterance; those that a step has are the first ones.
        """
        if not steps:
            return
        columns = [
            [getattr(step, name) for step in steps] for name in ("source", "label", "log_prob")
        ]
        sizes = [len(step.label) for step in steps]
        flat = [torch.cat(column).cpu().numpy() for column in columns]  # the one transfer
        starts = np.cumsum([0, *sizes])
        for place, row in enumerate(order[: sizes[0]].tolist()):
            taken = [
                start + place
                for start, size in zip(starts[:-1], sizes, strict=True)
                if size > place
            ]
            self._pieces[row].append(tuple(array[taken] for array in flat))

    def hypothesis(self, row: int, slot: int, log_prob: float) -> Hypothesis:
        """What an utterance now has in a slot; `log_prob` is its total."""
        if not self._pieces[row]:
            return Hypothesis(log_prob=log_prob)
        source, label, nats = (np.concatenate(c) for c in zip(*self._pieces[row], strict=True))
        spoken = []
        for t in range(len(label) - 1, -1, -1):
            if label[t, slot] != BLANK:
                spoken.append((int(label[t, slot]), t, float(nats[t, slot])))
            slot = source[t, slot]
        spoken.reverse()
        return Hypothesis(
            tokens=[token for token, _, _ in spoken],
            frames=[t for _, t, _ in spoken],
            token_log_probs=[value for _, _, value in spoken],
            log_prob=log_prob,
        )
