"""Sampled vocabularies: the few classes over which one training step normalises.

The classes of a row are its positives (blank and the row's targets), and negatives drawn without
replacement. Source: Sections 3 (which classes), 3.1 (batch-wise and example-wise sets) and 3.2
(sampling distributions) of the sampled-softmax paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.lengths import padding_mask
from icefall_sampled.sampling.checks import (
    Check,
    check_shapes,
    lengths_check,
    raise_first,
    show,
    targets_check,
)

STRATEGIES = ("example", "batch")

# Scores of the three kinds of class, far enough apart that noise cannot mix them: a Gumbel
# variable plus the log of a float64 weight stays within +-1000.
_POSITIVE_SCORE = 1e4
_ZERO_WEIGHT_SCORE = -1e4


@dataclass(frozen=True)
class SampledVocabulary:
    """The classes of each row of a minibatch, and its targets as columns of them.

    With strategy "batch" the rows of `ids` are one row expanded (stride 0).
    """

    ids: Tensor
    """(N, K) int64 class ids without repeats in a row; column 0 is blank, then come the other
    positives by ascending id, then the negatives in the order in which they were drawn."""

    targets: Tensor
    """(N, U) int64 columns of `ids` that hold the targets; 0 in padding."""

    num_positive: Tensor
    """(N,) int64: how many of the row's classes are positives, blank included."""


@torch.no_grad()
def sample_vocabulary(
    targets: Tensor,
    target_lengths: Tensor,
    *,
    vocab_size: int,
    num_sampled: int,
    strategy: str = "example",
    probs: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> SampledVocabulary:
    """Draw the classes of a sampled softmax.

        V_sampled = {blank} + targets + negatives,  K classes in all

    Negatives are drawn one after another without replacement, each with probability in
    proportion to its weight among the classes still left (an exponential race: the K - P
    largest of log(weight) + Gumbel noise). Classes of zero weight come in, uniformly, only
    after all others are used up. A row with fewer positives gets more negatives.

    Costs memory O(N V) and, on a GPU, one synchronisation, for the error checks.

    Args:
        targets: (N, U) integers, each in [1, V); positions beyond the row's length may hold
            anything.
        target_lengths: (N,) integers in [0, U].
        vocab_size: V, blank included.
        num_sampled: K, blank included; K >= V means every class.
        strategy: "example": each row has a set of its own. "batch": the positives are the
            union over the minibatch and all rows share one set.
        probs: (N, V) or (V,) weights, which need not sum to one; None means uniform. With
            strategy "batch", (N, V) weights are averaged over the rows.
        generator: makes the draw reproducible; lives on the device of the result, which is
            that of `probs`, or of `targets` where there are none.

    Raises:
        ValueError: shapes do not fit, a length or target is out of range, a weight is negative
            or not finite, or K is smaller than a positive set (see `max_positives`).
    """
    _check_arguments(targets, target_lengths, vocab_size, num_sampled, strategy, probs)
    device = targets.device if probs is None else probs.device
    targets, target_lengths = targets.to(device), target_lengths.to(device)
    padding = padding_mask(target_lengths, targets.shape[1])
    safe, positive = _positives(targets, padding, vocab_size)
    if strategy == "batch":
        positive = positive.any(0, keepdim=True)
    num_positive = positive.sum(1)
    num_classes = min(num_sampled, vocab_size)
    _check_values(targets, target_lengths, padding, probs, vocab_size, num_positive, num_classes)
    if strategy == "batch" and probs is not None and probs.dim() == 2:
        probs = _mean_weights(probs)
    return _highest(_race(positive, probs, generator), positive, safe, num_classes)


@torch.no_grad()
def likely_vocabulary(
    targets: Tensor,
    target_lengths: Tensor,
    probs: Tensor,
    *,
    num_negatives: int = 32,
    within: SampledVocabulary | None = None,
) -> SampledVocabulary:
    """The positives of each row and the classes of highest weight: a draft for the loss.

    Nothing is drawn at random. All rows have as many classes as the row with the most positives
    needs, so the other rows have more negatives than asked for.

    Args:
        targets: (N, U) integers, each in [1, V); padding may hold anything.
        target_lengths: (N,) integers in [0, U].
        probs: (N, V) weights, such as the mean posterior of CTC.
        num_negatives: classes beside the positives, at least 0; no more than V in all.
        within: take only classes of this vocabulary: the one of the loss, made from the same
            targets.

    Raises:
        ValueError: as in `sample_vocabulary`.
    """
    check_shapes(targets, target_lengths)
    if num_negatives < 0:
        raise ValueError(f"num_negatives must be at least 0, was {num_negatives}")
    if probs.dim() != 2 or len(probs) != len(targets) or not probs.is_floating_point():
        raise ValueError(
            f"probs must be a floating-point ({len(targets)}, V), "
            f"was {probs.dtype} {tuple(probs.shape)}"
        )
    vocab_size = probs.shape[1]
    targets, target_lengths = targets.to(probs.device), target_lengths.to(probs.device)
    padding = padding_mask(target_lengths, targets.shape[1])
    safe, positive = _positives(targets, padding, vocab_size)
    num_positive = positive.sum(1)
    _check_values(targets, target_lengths, padding, probs, vocab_size, num_positive, vocab_size)
    scores = probs.to(_precision(probs)).clamp(max=_POSITIVE_SCORE)
    num_classes = min(int(num_positive.max()) + num_negatives, vocab_size)
    if within is not None:
        is_class = torch.zeros_like(positive).scatter_(1, within.ids.to(probs.device), True)
        scores = scores.masked_fill(~is_class, -torch.inf)
        num_classes = min(num_classes, within.ids.shape[1])
    return _highest(scores, positive, safe, num_classes)


@torch.no_grad()
def max_positives(targets: Tensor, target_lengths: Tensor, *, strategy: str = "example") -> int:
    """The smallest `num_sampled` that `sample_vocabulary` accepts for this batch.

    The size, blank included, of the largest positive set ("example") or of the union of all
    ("batch"). On a GPU this synchronises.
    """
    check_shapes(targets, target_lengths)
    _check_strategy(strategy)
    padding = padding_mask(target_lengths.to(targets.device), targets.shape[1])
    labels = targets.masked_fill(padding, 0)
    if strategy == "batch":
        labels = labels.reshape(1, -1)
    blank = labels.new_zeros(labels.shape[0], 1)
    ordered = torch.cat([blank, labels], 1).sort(1).values
    return int((ordered[:, 1:] != ordered[:, :-1]).sum(1).max()) + 1


def _positives(targets: Tensor, padding: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """(N, U) targets with blank in the padding, and which of the (N, V) classes are positives."""
    safe = targets.masked_fill(padding, 0).long()
    positive = torch.zeros(len(targets), vocab_size, dtype=torch.bool, device=targets.device)
    positive[:, 0] = True
    # A target out of range is reported later. Without the clamp it would crash a GPU here.
    return safe, positive.scatter_(1, safe.clamp(0, vocab_size - 1), True)


def _precision(probs: Tensor | None) -> torch.dtype:
    """The type in which weights are compared."""
    return torch.float64 if probs is not None and probs.dtype == torch.float64 else torch.float32


def _mean_weights(probs: Tensor) -> Tensor:
    """(V,) means over the rows, divided before they are summed: large weights must not overflow."""
    return probs.double().div(len(probs)).sum(0).to(_precision(probs))


def _race(positive: Tensor, probs: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """Scores; the highest, in descending order, are the draws without replacement."""
    dtype = _precision(probs)
    race = torch.empty(positive.shape, dtype=dtype, device=positive.device)
    race.exponential_(generator=generator)
    # exponential_ can return 0, whose score, infinity, would exceed the positives' scores.
    scores = race.clamp_(min=torch.finfo(dtype).tiny).log_().neg_()
    if probs is None:
        return scores
    weights = probs.to(dtype)
    return torch.where(weights > 0, scores + weights.log(), scores + _ZERO_WEIGHT_SCORE)


def _highest(scores: Tensor, positive: Tensor, safe: Tensor, num_classes: int) -> SampledVocabulary:
    """The positives by ascending id, then the classes of highest score."""
    num_rows, vocab_size = len(safe), positive.shape[1]
    # float32 counts exactly up to 2^24 classes.
    falling = torch.arange(vocab_size, 0, -1, device=scores.device, dtype=scores.dtype)
    scores = torch.where(positive, falling + _POSITIVE_SCORE, scores)
    ids = scores.topk(num_classes, dim=1).indices
    columns = torch.arange(num_classes, device=ids.device).expand_as(ids)
    column_of_class = torch.zeros_like(positive, dtype=torch.int64).scatter_(1, ids, columns)
    return SampledVocabulary(
        ids=ids.expand(num_rows, -1),
        targets=column_of_class.expand(num_rows, -1).gather(1, safe),
        num_positive=positive.sum(1).expand(num_rows),
    )


def _check_strategy(strategy: str) -> None:
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {STRATEGIES}, was {strategy!r}")


def _check_arguments(
    targets: Tensor,
    target_lengths: Tensor,
    vocab_size: int,
    num_sampled: int,
    strategy: str,
    probs: Tensor | None,
) -> None:
    """The checks that need no values of tensors."""
    check_shapes(targets, target_lengths)
    _check_strategy(strategy)
    if vocab_size < 1:
        raise ValueError(f"vocab_size must be at least 1, was {vocab_size}")
    if num_sampled < 1:
        raise ValueError(f"num_sampled must be at least 1, was {num_sampled}")
    shapes = ((vocab_size,), (targets.shape[0], vocab_size))
    if probs is not None and tuple(probs.shape) not in shapes:
        raise ValueError(
            f"probs must have shape {shapes[0]} or {shapes[1]}, was {tuple(probs.shape)}"
        )
    if probs is not None and not probs.is_floating_point():
        raise ValueError(f"probs must be floating point, was {probs.dtype}")


def _check_values(
    targets: Tensor,
    target_lengths: Tensor,
    padding: Tensor,
    probs: Tensor | None,
    vocab_size: int,
    num_positive: Tensor,
    num_classes: int,
) -> None:
    """The checks that need the values of tensors."""
    checks: list[Check] = [
        lengths_check("target_lengths", target_lengths, 0, targets.shape[1]),
        targets_check(targets, padding, vocab_size),
        (
            num_positive.gt(num_classes),
            lambda: (
                f"num_sampled must be at least {int(num_positive.max())}, the largest positive "
                f"set (blank and the distinct targets), was {num_classes}"
            ),
        ),
    ]
    if probs is not None:
        weights, bad = probs, ~(probs.isfinite() & (probs >= 0))
        checks.insert(
            0, (bad, lambda: f"probs must be finite and not negative, was {show(weights[bad])}")
        )
    raise_first(checks)
