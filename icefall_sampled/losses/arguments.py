"""The arguments that the losses share, their checks, and the reduction over utterances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from icefall_sampled.lengths import padding_mask
from icefall_sampled.sampling.checks import (
    Check,
    check_integers,
    check_lengths_shape,
    check_shapes,
    lengths_check,
    raise_first,
    show,
    targets_check,
)
from icefall_sampled.sampling.vocabulary import SampledVocabulary

ACTIVATIONS = ("tanh", "relu")
REDUCTIONS = ("mean", "sum", "none")


class Inputs(NamedTuple):
    """What every loss is computed from."""

    hidden: Tensor
    """(N, T, D) rows of the encoder, for a transducer already projected to joiner width."""
    weight: Tensor
    """(V, D) of the output layer."""
    bias: Tensor
    """(V,) of the output layer."""
    targets: Tensor
    """(N, U)"""
    encoder_lengths: Tensor
    """(N,)"""
    target_lengths: Tensor
    """(N,)"""

    @staticmethod
    def of(hidden: Tensor, weight: Tensor, bias: Tensor, *integers: Tensor) -> Inputs:
        """The arguments, with the integers on the device of `hidden`."""
        return Inputs(hidden, weight, bias, *(x.to(hidden.device) for x in integers))


def choose(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Check that `value` is one of the allowed words."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, was {value!r}")


def check_acoustic(name: str, features: Tensor, num_rows: int) -> None:
    """`features` is a floating-point (N, T, width) with T > 0."""
    if features.dim() != 3 or features.shape[0] != num_rows or 0 in features.shape:
        raise ValueError(
            f"{name} must be a non-empty (N, T, width) with N = {num_rows}, the rows of targets, "
            f"was {tuple(features.shape)}"
        )
    if not features.is_floating_point():
        raise ValueError(f"{name} must be floating point, was {features.dtype}")


def check_rows(name: str, rows: Tensor, layout: str, expected: tuple[int, int, int]) -> None:
    """`rows` is floating point and of the expected shape, whose dimensions `layout` names."""
    if tuple(rows.shape) != expected:
        raise ValueError(f"{name} must be {layout} = {expected}, was {tuple(rows.shape)}")
    if not rows.is_floating_point():
        raise ValueError(f"{name} must be floating point, was {rows.dtype}")


def check_layer(weight: Tensor, bias: Tensor, width: int) -> None:
    """`weight` is (V, width) and `bias` (V,), with V > 1."""
    if weight.dim() != 2 or weight.shape[0] < 2 or weight.shape[1] != width:
        raise ValueError(
            f"weight must be (V, {width}) with V of at least 2, was {tuple(weight.shape)}"
        )
    if tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"bias must have shape ({weight.shape[0]},), was {tuple(bias.shape)}")


def check_values(batch: Inputs, more: list[Check]) -> None:
    """The checks that need the values of tensors, with one device synchronisation."""
    hidden, weight, bias, targets, encoder_lengths, target_lengths = batch
    padding = padding_mask(target_lengths, targets.shape[1])
    raise_first(
        [
            lengths_check("encoder_lengths", encoder_lengths, 1, hidden.shape[1]),
            lengths_check("target_lengths", target_lengths, 0, targets.shape[1]),
            targets_check(targets, padding, weight.shape[0]),
            _finite_check("weight", weight),
            _finite_check("bias", bias),
            *more,
        ]
    )


def _finite_check(name: str, tensor: Tensor) -> Check:
    """Every element is finite.

    A finite sum proves it without storing a boolean for each of V x J elements. A sum of finite
    elements may overflow: `sentence` then looks at each element and returns None.
    """

    def sentence() -> str | None:
        bad = ~tensor.isfinite()
        return f"{name} must be finite, was {show(tensor[bad])}" if bool(bad.any()) else None

    return ~tensor.detach().sum().isfinite(), sentence


def check_batch(name: str, batch: Inputs) -> None:
    """The checks that need no values; `name` is what the user calls `hidden`."""
    hidden, weight, bias, targets, encoder_lengths, target_lengths = batch
    check_shapes(targets, target_lengths)
    check_lengths_shape("encoder_lengths", encoder_lengths, targets.shape[0])
    check_acoustic(name, hidden, targets.shape[0])
    check_layer(weight, bias, hidden.shape[2])


def prepare_vocabulary(
    name: str, vocabulary: SampledVocabulary | None, device: torch.device
) -> SampledVocabulary | None:
    """The vocabulary on a device, in int64: the only index type of `gather` in every torch."""
    if vocabulary is None:
        return None
    return SampledVocabulary(
        **{field: _prepare(f"{name}.{field}", x, device) for field, x in vars(vocabulary).items()}
    )


def _prepare(name: str, tensor: Tensor, device: torch.device) -> Tensor:
    check_integers(name, tensor)
    if tensor.dim() > 0 and tensor.stride(0) == 0:
        # Strategy "batch" expands one row (stride 0). Copying all rows would lose that stride.
        return tensor[:1].to(device, torch.int64).expand(tensor.shape)
    return tensor.to(device, torch.int64)


def vocabulary_checks(name: str, vocabulary: SampledVocabulary, batch: Inputs) -> list[Check]:
    """Checks that a sampled vocabulary, perhaps built by the user, fits these targets."""
    ids, columns, targets = vocabulary.ids, vocabulary.targets, batch.targets
    num_rows, vocab_size = targets.shape[0], batch.weight.shape[0]
    if ids.dim() != 2 or ids.shape[0] != num_rows or ids.shape[1] < 1:
        raise ValueError(
            f"{name}.ids must be (N, K) with N = {num_rows} and K > 0, was {tuple(ids.shape)}"
        )
    check_lengths_shape(f"{name}.num_positive", vocabulary.num_positive, num_rows)
    if columns.shape != targets.shape:
        raise ValueError(
            f"{name}.targets must have the shape of targets, {tuple(targets.shape)}, "
            f"was {tuple(columns.shape)}"
        )
    padding = padding_mask(batch.target_lengths, targets.shape[1])
    outside = ids.lt(0) | ids.ge(vocab_size)
    ordered = ids.sort(1).values
    lost = columns.lt(0) | columns.ge(ids.shape[1])
    lost |= ids.gather(1, columns.clamp(0, ids.shape[1] - 1)) != targets
    lost &= ~padding
    checks: list[Check] = [
        lengths_check(f"{name}.num_positive", vocabulary.num_positive, 1, ids.shape[1]),
        (outside, lambda: f"{name}.ids must be in [0, {vocab_size}), was {show(ids[outside])}"),
        (
            ids[:, 0].ne(0),
            lambda: f"{name}.ids must have blank (0) in column 0, was {show(ids[:, 0])}",
        ),
        (
            ordered[:, 1:].eq(ordered[:, :-1]),
            lambda: f"{name}.ids must have no repeats in a row, was {show(ids)}",
        ),
        (
            lost,
            lambda: (
                f"{name}.targets must be the columns of {name}.ids that hold the targets, "
                f"was {show(columns[lost])}"
            ),
        ),
    ]
    return checks


def zero_beyond(rows: Tensor, lengths: Tensor) -> Tensor:
    """(N, L) or (N, L, W) with zeros beyond the lengths.

    Padding must not reach a sum: 0 * NaN is NaN, in backward too.
    """
    beyond = padding_mask(lengths, rows.shape[1])
    return rows.masked_fill(beyond if rows.dim() == 2 else beyond[:, :, None], 0)


def reduce_loss(losses: Tensor, reduction: str) -> Tensor:
    """(N,) losses reduced to a scalar; "none" returns them unchanged."""
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses
