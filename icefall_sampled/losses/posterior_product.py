"""Softmax times matrix, for self-conditioned CTC, without storing the softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import autocast
from torch.autograd.function import once_differentiable

from icefall_sampled.losses.arguments import check_acoustic, check_layer
from icefall_sampled.losses.output_layer import LinearLayer, add_block, dtypes_for, valid_rows
from icefall_sampled.sampling.checks import check_lengths_shape, lengths_check, raise_first


def posterior_product(
    hidden: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, lengths: Tensor
) -> Tensor:
    """The posterior of a CTC head, projected back to the width of the encoder.

        out[n, t] = softmax(weight @ hidden[n, t] + bias) @ matrix

    The naive equivalent:

        out = linear(hidden, weight, bias).softmax(2) @ matrix

    A layer `torch.nn.Linear(V, E)` on the posterior is `posterior_product(hidden, weight, bias,
    layer.weight.t(), lengths) + layer.bias`.

    Args:
        hidden: (N, T, D).
        weight: (V, D) of the head.
        bias: (V,) of the head.
        matrix: (V, E).
        lengths: (N,) in [1, T]; frames beyond may hold anything, NaN included.

    Returns:
        (N, T, E), in the type that `linear` would return; 0 beyond the lengths.

    Raises:
        ValueError: an argument has the wrong shape or value; the sentence names it.

    Source: Nozaki and Komatsu 2021; Section 2.2 of the sampled-softmax paper.
    """
    check_acoustic("hidden", hidden, len(hidden))
    check_layer(weight, bias, hidden.shape[2])
    if matrix.dim() != 2 or len(matrix) != len(weight):
        raise ValueError(f"matrix must be ({len(weight)}, E), was {tuple(matrix.shape)}")
    check_lengths_shape("lengths", lengths, len(hidden))
    lengths = lengths.to(hidden.device)
    raise_first([lengths_check("lengths", lengths, 1, hidden.shape[1])])
    dtypes = dtypes_for(hidden, weight)
    out: Tensor = _PosteriorProduct.apply(hidden, weight, bias, matrix, lengths, dtypes)
    return out.to(dtypes[1])


class _PosteriorProduct(torch.autograd.Function):
    """hidden, weight, bias, matrix -> out, in the type of sums."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        matrix: Tensor,
        lengths: Tensor,
        dtypes: tuple[torch.dtype, torch.dtype],
    ) -> Tensor:
        ctx.dtypes = dtypes
        with autocast(hidden.device.type, enabled=False):
            layer = LinearLayer.of(weight, bias, dtypes)
            out, norm = _forward(layer, hidden, matrix.to(dtypes[1]), lengths)
        ctx.save_for_backward(hidden, weight, bias, matrix, lengths, norm, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, matrix, lengths, norm, out = ctx.saved_tensors
        layer = LinearLayer.of(weight, bias, ctx.dtypes)
        inputs = hidden, weight, bias, matrix
        sums = [
            torch.zeros(x.shape, dtype=layer.dtype, device=x.device) if need else None
            for x, need in zip(inputs, ctx.needs_input_grad, strict=False)
        ]
        with autocast(hidden.device.type, enabled=False):
            _backward(layer, hidden, matrix.to(ctx.dtypes[1]), lengths, norm, out, grad, sums)
        gradients = [s if s is None else s.to(x.dtype) for s, x in zip(sums, inputs, strict=True)]
        return (*gradients, None, None)


def _forward(
    layer: LinearLayer, hidden: Tensor, matrix: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, T, E) products and (N * T,) normalizers."""
    flat = hidden.flatten(0, 1)
    out = layer.bias.new_zeros(len(flat), matrix.shape[1])
    norm = layer.bias.new_zeros(len(flat))
    for rows in layer.split(valid_rows(hidden.shape[1], lengths)):
        chunk = flat[rows].to(layer.matmul_dtype)
        peak = layer.bias.new_full((len(rows),), -torch.inf)
        total, product = torch.zeros_like(peak), out.new_zeros(len(rows), out.shape[1])
        for block in layer.blocks():
            weights = layer.logits(chunk, block)
            peak, total, shrink = add_block(peak, total, weights)
            step = weights.to(layer.matmul_dtype) @ matrix[block]
            product = product.mul_(shrink[:, None]).add_(step)
        out[rows] = product.div_(total[:, None])
        norm[rows] = peak + total.log()
    return out.view(*hidden.shape[:2], -1), norm


def _backward(
    layer: LinearLayer,
    hidden: Tensor,
    matrix: Tensor,
    lengths: Tensor,
    norm: Tensor,
    out: Tensor,
    grad: Tensor,
    sums: list[Tensor | None],
) -> None:
    """Add the gradients to the sums, for p = softmax and g = the gradient of out = p @ matrix.

    Of matrix: p^T g. Of the logits: p * (matrix @ g - out . g), and from these the layer's.
    """
    to_hidden, to_weight, to_bias, to_matrix = sums
    flat, out, grad = hidden.flatten(0, 1), out.flatten(0, 1), grad.flatten(0, 1)
    for rows in layer.split(valid_rows(hidden.shape[1], lengths)):
        chunk = flat[rows].to(layer.matmul_dtype)
        upstream = grad[rows].to(layer.matmul_dtype)
        mean = (out[rows] * grad[rows]).sum(1)
        for block in layer.blocks():
            # exp(-70) is negligible, and not a denormal number, which would be slow on a CPU.
            probs = layer.logits(chunk, block).sub_(norm[rows][:, None]).clamp_(min=-70).exp_()
            if to_matrix is not None:
                to_matrix[block] += (probs.to(layer.matmul_dtype).t() @ upstream).to(layer.dtype)
            slope = (upstream @ matrix[block].t()).to(layer.dtype).sub_(mean[:, None])
            slope.mul_(probs)
            if to_bias is not None:
                to_bias[block] += slope.sum(0)
            slope = slope.to(layer.matmul_dtype)
            if to_weight is not None:
                to_weight[block] += (slope.t() @ chunk).to(layer.dtype)
            if to_hidden is not None:
                back = (slope @ layer.weight[block]).to(layer.dtype)
                to_hidden.view(-1, hidden.shape[2])[rows] += back
