"""CTC's alignment against all alignments there are."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.decoding.ctc_alignment import Span, align_ctc
from icefall_sampled.tokens import BLANK


def said(path: tuple[int, ...]) -> list[int]:
    """What a path of classes says: repetitions merged, blanks dropped."""
    return [c for c, _ in itertools.groupby(path) if c != BLANK]


def path_of(spans: list[Span], labels: list[int], frames: int) -> tuple[int, ...]:
    path = [BLANK] * frames
    for span, label in zip(spans, labels, strict=True):
        path[span.first : span.last + 1] = [label] * (span.last - span.first + 1)
    return tuple(path)


def log_prob(path: tuple[int, ...], log_probs: Tensor) -> float:
    return float(sum(row[c] for row, c in zip(log_probs, path, strict=True)))


@given(
    labels=st.lists(st.integers(1, 2), max_size=4),
    frames=st.integers(1, 6),
    seed=st.integers(0, 1000),
    flat=st.booleans(),
)
def test_is_the_best_of_all_alignments(
    labels: list[int], frames: int, seed: int, flat: bool
) -> None:
    torch.manual_seed(seed)
    log_probs = torch.randn(frames, 3, dtype=torch.float64).log_softmax(-1)
    if flat:  # everything is a tie
        log_probs.fill_(-1.0)
    fitting = [p for p in itertools.product(range(3), repeat=frames) if said(p) == labels]
    if not fitting:
        with pytest.raises(ValueError, match=f"frames needed for its labels, {frames} there"):
            align_ctc(log_probs, labels)
        return
    found = path_of(align_ctc(log_probs, labels), labels, frames)
    assert said(found) == labels
    best = max(log_prob(path, log_probs) for path in fitting)
    assert log_prob(found, log_probs) == pytest.approx(best, abs=1e-12)


def test_labels_lie_where_they_are_probable() -> None:
    log_probs = torch.full((9, 4), -9.0)
    for frame, label in enumerate([0, 3, 3, 0, 3, 1, 0, 0, 2]):
        log_probs[frame, label] = -0.1
    spans = align_ctc(log_probs, [3, 3, 1, 2])
    assert spans == [Span(1, 2), Span(4, 4), Span(5, 5), Span(8, 8)]


def test_impossible_classes_are_gone_through_where_nothing_else_is_left() -> None:
    log_probs = torch.tensor([[-0.1, -torch.inf], [-torch.inf, -0.1]])
    assert align_ctc(log_probs, [1]) == [Span(1, 1)]
    assert align_ctc(torch.full((2, 2), -torch.inf), [1])[0].last <= 1
