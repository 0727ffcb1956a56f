"""Backward of the joiner: logits recomputed in chunks, at the nodes that alignments visit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from icefall_sampled.losses.chunks import Chunk
from icefall_sampled.losses.joiner_chunks import Joiner


@dataclass(frozen=True)
class _Sums:
    """Accumulated gradients; None where autograd needs none."""

    encoder_out: Tensor | None
    predictor_out: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


@dataclass(frozen=True)
class _Steps:
    """Results of the forward pass at each node, flattened (N, T, U + 1); the upstream gradient."""

    norm: Tensor
    blank: Tensor
    label: Tensor
    scale: Tensor
    """(N,) absolute value of the gradient of each log-likelihood."""
    sign: Tensor | None
    """(N,) minus the sign of that gradient; None if no gradient is positive, as for a loss."""


def joiner_gradients(
    joiner: Joiner,
    norm: Tensor,
    blank: Tensor,
    label: Tensor,
    grad: Tensor,
    *,
    needed: tuple[bool, ...],
    min_occupancy: float,
) -> tuple[Tensor | None, ...]:
    """Gradients for encoder_out, predictor_out, weight and bias, in the joiner's `dtype`.

        d log P / d logit[k] = blank * [k = blank] + label * [k = next label]
                               - (blank + label) * softmax[k]

    Args:
        joiner: the one of the forward pass.
        norm: (N, T, U + 1) float64 log of the softmax's denominator.
        blank: (N, T, U + 1) posterior of the blank step at each node.
        label: (N, T, U + 1) posterior of the label step.
        grad: (N,) gradient with respect to the log-likelihoods.
        needed: which of the four autograd needs.
        min_occupancy: nodes with blank + label of at most this are left out.
    """
    shapes = (joiner.encoder_out, joiner.predictor_out, joiner.weight, joiner.bias)
    # In float32, the sums over many nodes of predictor_out and bias would lose digits.
    dtypes = joiner.dtype, torch.float64, joiner.dtype, torch.float64
    sums = _Sums(
        *(
            torch.zeros(x.shape, dtype=dtype, device=x.device) if need else None
            for x, dtype, need in zip(shapes, dtypes, needed, strict=True)
        )
    )
    if not any(needed):
        return tuple(vars(sums).values())
    # `not <=` instead of `>` keeps nodes with NaN, so that a broken model gets NaN gradients.
    lowest = max(min_occupancy, _smallest(joiner.dtype))
    visited = ~(blank + label).le(lowest) & grad.ne(0)[:, None, None]
    nodes = visited.view(-1).nonzero()[:, 0]
    sign = -grad.sign() if bool(grad.gt(0).any()) else None
    steps = _Steps(norm.view(-1), blank.view(-1), label.view(-1), grad.abs(), sign)
    for chunk in joiner.chunks(nodes):
        _add_chunk(joiner, chunk, steps, sums)
    return tuple(vars(sums).values())


def _add_chunk(joiner: Joiner, chunk: Chunk, steps: _Steps, sums: _Sums) -> None:
    """Add what one chunk of nodes contributes."""
    utterance, frame, prefix = joiner.rows(chunk.index)
    scale = steps.scale[utterance]
    if chunk.is_filling is not None:
        scale = scale.masked_fill(chunk.is_filling, 0)
    blank, label = steps.blank[chunk.index] * scale, steps.label[chunk.index] * scale
    # The log of the occupancy is added to the exponent. Clamping the exponent then keeps the
    # product of occupancy and softmax from becoming a denormal number, which would make a CPU's
    # matrix products ten times slower.
    # The subtraction takes two steps, the first of them exact, to lose no digits.
    norm = steps.norm[chunk.index]
    coarse = norm.round()
    fine = (norm - coarse - (blank + label).log()).to(joiner.dtype)
    coarse = coarse.to(joiner.dtype)
    hidden = joiner.hidden(frame, prefix)
    factor = hidden.to(joiner.matmul_dtype)
    column = joiner.labels.view(-1)[prefix]
    to_hidden: Tensor | None = None
    for start, classes, weight, bias in joiner.layers(chunk):
        grad = joiner.logits(factor, weight, bias)
        grad.sub_(coarse[..., None]).sub_(fine[..., None]).clamp_(
            min=_lowest_exponent(joiner.dtype)
        ).exp_()
        inside, place = joiner.place(column, start, grad.shape[2])
        grad.scatter_add_(2, place, label.masked_fill(~inside, 0).neg_()[..., None])
        if start == 0:
            grad[..., 0] -= blank
        if steps.sign is not None:
            grad *= steps.sign[utterance][..., None]
        if sums.bias is not None:
            _add_rows(sums.bias, classes, grad.sum(1).to(sums.bias.dtype))
        grad = grad.to(joiner.matmul_dtype)
        if sums.weight is not None:
            _add_product(sums.weight, classes, grad, factor)
        if sums.encoder_out is not None or sums.predictor_out is not None:
            product = (grad @ weight).to(joiner.dtype)
            to_hidden = product if to_hidden is None else to_hidden.add_(product)
            del product
        del grad  # free it before the next block is computed
    if to_hidden is not None:
        _add_inputs(joiner, hidden, to_hidden.view_as(hidden), frame, prefix, sums)


def _add_inputs(
    joiner: Joiner, hidden: Tensor, grad: Tensor, frame: Tensor, prefix: Tensor, sums: _Sums
) -> None:
    """Add the gradient of hidden to those of its two terms; overwrites `grad` and `hidden`."""
    if joiner.activation == "tanh":
        grad.mul_(hidden.mul_(hidden).neg_().add_(1))
    else:
        grad.masked_fill_(hidden.le(0), 0)
    grad = grad.flatten(0, 1)
    for total, rows in ((sums.encoder_out, frame), (sums.predictor_out, prefix)):
        if total is None:
            continue
        flat = total.view(-1, joiner.width)
        size = len(grad) if total.dtype == grad.dtype else len(grad) // 8 + 1
        for some, part in zip(rows.flatten().split(size), grad.split(size), strict=True):
            flat.index_add_(0, some, part.to(total.dtype))


def _add_rows(total: Tensor, classes: Tensor | slice, rows: Tensor) -> None:
    """Add (G, C, ...) to the classes' rows of (V, ...)."""
    if isinstance(classes, slice):
        total[classes] += rows[0]
    else:
        total.index_add_(0, classes.flatten(), rows.flatten(0, 1))


def _add_product(total: Tensor, classes: Tensor | slice, grad: Tensor, hidden: Tensor) -> None:
    """Add grad^T hidden, (G, C, J), to the classes' rows of (V, J)."""
    if isinstance(classes, slice) and grad.dtype == total.dtype:
        total[classes].addmm_(grad[0].t(), hidden[0])
    else:
        _add_rows(total, classes, (grad.transpose(1, 2) @ hidden).to(total.dtype))


def _lowest_exponent(dtype: torch.dtype) -> float:
    """An exponent whose exp is negligible, but far above the denormal numbers."""
    return -70.0 if dtype == torch.float32 else -600.0


def _smallest(dtype: torch.dtype) -> float:
    """The smallest occupancy worth computing, about exp of the lowest exponent."""
    return 1e-30 if dtype == torch.float32 else 1e-260
