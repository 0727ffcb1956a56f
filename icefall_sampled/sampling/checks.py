"""Argument checks of the sampler and the losses, with one device synchronisation per call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Check = tuple[Tensor, Callable[[], "str | None"]]
"""A boolean tensor that is true where a value may be wrong, and a function that returns the error
message, or None if a closer look finds nothing wrong."""


def raise_first(checks: Sequence[Check]) -> None:
    """Raise ValueError for the first check that is true anywhere.

    The answers are fetched from the device in one go, because on a GPU each fetch waits for
    all the work queued before it; the sentence is made only where it is needed.
    """
    answers = torch.stack([bad.any() for bad, _ in checks]).tolist()
    for answer, (_, sentence) in zip(answers, checks, strict=True):
        text = sentence() if answer else None
        if text is not None:
            raise ValueError(text)


def show(values: Tensor, limit: int = 8) -> str:
    """The first few values of a tensor, for an error message."""
    listed: list[Any] = values.flatten()[:limit].tolist()
    return str(listed) if values.numel() <= limit else f"{[*listed[:-1], '...']}"


def check_shapes(targets: Tensor, target_lengths: Tensor) -> None:
    """`targets` is an integer (N, U) with N > 0, and `target_lengths` an integer (N,)."""
    if targets.dim() != 2 or targets.shape[0] == 0:
        raise ValueError(
            f"targets must be (N, U) with at least one row, was {tuple(targets.shape)}"
        )
    check_lengths_shape("target_lengths", target_lengths, targets.shape[0])
    check_integers("targets", targets)


def check_lengths_shape(name: str, lengths: Tensor, num_rows: int) -> None:
    """`lengths` is an integer (N,)."""
    if tuple(lengths.shape) != (num_rows,):
        raise ValueError(f"{name} must have shape ({num_rows},), was {tuple(lengths.shape)}")
    check_integers(name, lengths)


def check_integers(name: str, tensor: Tensor) -> None:
    """`tensor` is int32 or int64: both can hold any class id."""
    if tensor.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"{name} must be int64 or int32, was {tensor.dtype}")


def lengths_check(name: str, lengths: Tensor, low: int, high: int) -> Check:
    """Every length is in [low, high]."""
    bad = lengths.lt(low) | lengths.gt(high)
    return bad, lambda: f"{name} must be in [{low}, {high}], was {show(lengths[bad])}"


def targets_check(targets: Tensor, padding: Tensor, vocab_size: int) -> Check:
    """Every target that is not padding is in [1, V)."""
    bad = (targets.lt(1) | targets.ge(vocab_size)) & ~padding
    return bad, lambda: f"targets must be in [1, {vocab_size}), was {show(targets[bad])}"
