"""The frames of each label of a text: the most probable CTC alignment, by Viterbi."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.errors import UserError
from icefall_sampled.tokens import BLANK


@dataclass(frozen=True)
class Span:
    """The frames of one label in an alignment, counted from 0."""

    first: int
    last: int
    """The last frame of the label, inclusive."""


def align_ctc(log_probs: Tensor, labels: Sequence[int]) -> list[Span]:
    """The frames of each label in the most probable alignment of an utterance.

    Among equally probable alignments it is the one that, seen from the end, stays in a state
    longest.

    Args:
        log_probs: (T, V), in nats.
        labels: without blank.

    Raises:
        UserError: where there are too few frames for the labels.
    """
    needed = len(labels) + sum(a == b for a, b in itertools.pairwise(labels))
    if needed > len(log_probs):
        raise UserError(f"{needed} encoder frames needed for its labels, {len(log_probs)} there")
    if not labels:
        return []
    # States: a blank, the first label, a blank, the second label, …, a blank.
    states = [BLANK, *(s for label in labels for s in (label, BLANK))]
    spans: dict[int, Span] = {}
    for frame, state in enumerate(_best_states(log_probs.double().cpu(), states)):
        if state % 2:
            first = spans[state].first if state in spans else frame
            spans[state] = Span(first, frame)
    return [spans[state] for state in sorted(spans)]


def _best_states(log_probs: Tensor, states: list[int]) -> list[int]:
    """The state at each frame, as an index into `states`."""
    # A label of probability 0 is still better than an invalid alignment.
    scores = log_probs[:, states].clamp(min=-1e6)  # (T, S)
    never = -torch.inf
    # The blank between two labels may be skipped, unless the labels are equal.
    may_skip = torch.tensor(
        [i >= 2 and s != BLANK and s != states[i - 2] for i, s in enumerate(states)]
    )
    best = torch.full((len(states),), never, dtype=scores.dtype)
    best[:2] = scores[0, :2]
    steps = []
    for row in scores[1:]:
        one = torch.nn.functional.pad(best[:-1], (1, 0), value=never)
        two = torch.nn.functional.pad(best[:-2], (2, 0), value=never).masked_fill(~may_skip, never)
        best, step = torch.stack([best, one, two]).max(dim=0)
        best = best + row
        steps.append(step)
    state = len(states) - (1 if best[-1] >= best[-2] else 2)
    path = [state]
    for step in reversed(steps):
        state -= int(step[state])
        path.append(state)
    return path[::-1]
