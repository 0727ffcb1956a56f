"""CTC that stores log-probabilities of blank and the targets only, never (N, T, V)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import autocast
from torch.autograd.function import once_differentiable

from icefall_sampled.losses.arguments import Inputs, zero_beyond
from icefall_sampled.losses.output_layer import LinearLayer, add_block, dtypes_for, valid_rows


def fused_ctc(
    batch: Inputs, *, zero_infinity: bool, with_posterior: bool
) -> tuple[Tensor, Tensor | None]:
    """(N,) losses and, if asked for, the (N, V) mean posterior; see `ctc_loss`."""
    hidden, weight, bias, targets, encoder_lengths, target_lengths = batch
    losses, posterior = _FusedCtc.apply(
        hidden,
        weight,
        bias,
        (*_small_alphabet(targets, target_lengths), encoder_lengths, target_lengths),
        (zero_infinity, with_posterior),
        dtypes_for(hidden, weight),
    )
    return losses, posterior if with_posterior else None


def _small_alphabet(targets: Tensor, target_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's classes, (N, U + 1): blank, its distinct targets, padding; and (N, U) columns.

    The padding is blank again. No target points to it, so it has no effect.
    """
    labels = zero_beyond(targets, target_lengths).long()
    blank = labels.new_zeros(len(labels), 1)
    ordered = torch.cat([blank, labels], 1).sort(1).values
    is_new = torch.nn.functional.pad(ordered[:, 1:].ne(ordered[:, :-1]), (1, 0))
    rank = is_new.cumsum(1)  # of each label among the distinct ones; blank's is 0
    ids = torch.zeros_like(ordered).scatter_(1, rank, ordered)
    columns = rank.gather(1, torch.searchsorted(ordered, labels))
    return ids, columns


class _FusedCtc(torch.autograd.Function):
    """hidden, weight, bias -> (N,) losses and (N, V) mean posterior."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        batch: tuple[Tensor, Tensor, Tensor, Tensor],
        options: tuple[bool, bool],
        dtypes: tuple[torch.dtype, torch.dtype],
    ) -> tuple[Tensor, Tensor]:
        ids, columns, encoder_lengths, target_lengths = batch
        zero_infinity, with_posterior = options
        ctx.dtypes = dtypes
        layer = LinearLayer.of(weight, bias, dtypes)
        with autocast(hidden.device.type, enabled=False):
            log_probs, norm, posterior = _log_probs(
                layer, hidden, ids, encoder_lengths, with_posterior
            )
            losses, steps = _path_posteriors(log_probs, columns, encoder_lengths, target_lengths)
        impossible = losses.isinf() if zero_infinity else torch.zeros_like(losses).bool()
        ctx.save_for_backward(hidden, weight, bias, ids, encoder_lengths, norm, steps, impossible)
        ctx.mark_non_differentiable(posterior)
        return losses.masked_fill(impossible, 0), posterior

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids, encoder_lengths, norm, steps, impossible = ctx.saved_tensors
        layer = LinearLayer.of(weight, bias, ctx.dtypes)
        scale = grad.to(layer.dtype).masked_fill(impossible, 0)
        with autocast(hidden.device.type, enabled=False):
            sums = _gradients(
                layer, hidden, ids, encoder_lengths, norm, steps, scale, ctx.needs_input_grad[:3]
            )
        inputs = hidden, weight, bias
        gradients = [s if s is None else s.to(x.dtype) for s, x in zip(sums, inputs, strict=True)]
        return (*gradients, None, None, None)


def _log_probs(
    layer: LinearLayer, hidden: Tensor, ids: Tensor, lengths: Tensor, with_posterior: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, T, A) log-probabilities of `ids`, (N, T) normalizers and the (N, V) mean posterior."""
    num_rows, num_frames, _ = hidden.shape
    flat = hidden.flatten(0, 1)
    small = layer.bias.new_zeros(num_rows * num_frames, ids.shape[1])
    norm = layer.bias.new_zeros(num_rows * num_frames)
    posterior = layer.bias.new_zeros(num_rows, len(layer.bias) if with_posterior else 0)
    is_whole = len(list(layer.blocks())) == 1
    for rows in layer.split(valid_rows(num_frames, lengths)):
        chunk = flat[rows].to(layer.matmul_dtype)
        utterance = rows.div(num_frames, rounding_mode="floor")
        classes = ids[utterance]
        peak = layer.bias.new_full((len(rows),), -torch.inf)
        total, found, weights = torch.zeros_like(peak), classes.to(layer.dtype), peak
        for block in layer.blocks():
            logits = layer.logits(chunk, block)
            inside = classes.ge(block.start) & classes.lt(block.stop)
            place = classes.sub(block.start).clamp_(0, logits.shape[1] - 1)
            found = torch.where(inside, logits.gather(1, place), found)
            peak, total, _ = add_block(peak, total, logits)
            weights = logits if is_whole else peak
            del logits
        norm[rows] = peak + total.log()
        small[rows] = found.sub_(norm[rows][:, None])
        if with_posterior:
            if is_whole:
                weights.div_(total[:, None])
            _add_posterior(posterior, layer, chunk, utterance, norm[rows], weights)
    shape = num_rows, num_frames
    return small.view(*shape, -1), norm.view(shape), posterior.div_(lengths[:, None])


def _add_posterior(
    posterior: Tensor,
    layer: LinearLayer,
    chunk: Tensor,
    utterance: Tensor,
    norm: Tensor,
    only_block: Tensor,
) -> None:
    """Add the softmax of each row of a chunk to its utterance's row of (N, V)."""
    blocks = list(layer.blocks())
    for block in blocks:
        if len(blocks) == 1:
            probs = only_block
        else:  # the earlier blocks were freed, and were relative to another peak
            probs = layer.logits(chunk, block).sub_(norm[:, None]).exp_()
        posterior[:, block].index_add_(0, utterance, probs)


def _path_posteriors(
    log_probs: Tensor, columns: Tensor, encoder_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """(N,) losses and the (N, T, A) posterior of each class at each frame, given the targets.

    torch's ctc_loss assumes that its input is a log-softmax over all classes, and returns
    exp(input) - posterior as the gradient. So the posterior is exp(input) - gradient for any
    input.
    """
    with torch.enable_grad():
        leaf = log_probs.detach().requires_grad_()
        losses = torch.nn.functional.ctc_loss(
            leaf.transpose(0, 1),
            columns,
            encoder_lengths.long(),
            target_lengths.long(),
            reduction="none",
        )
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), log_probs.exp().sub_(gradient)


def _gradients(
    layer: LinearLayer,
    hidden: Tensor,
    ids: Tensor,
    lengths: Tensor,
    norm: Tensor,
    steps: Tensor,
    scale: Tensor,
    needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """Gradients of hidden, weight and bias, from scale * (softmax - posterior) at each frame."""
    num_frames = hidden.shape[1]
    flat, norm, steps = hidden.flatten(0, 1), norm.view(-1), steps.flatten(0, 1)
    to_hidden, to_weight, to_bias = (
        torch.zeros(x.shape, dtype=layer.dtype, device=x.device) if need else None
        for x, need in zip((flat, layer.weight, layer.bias), needed, strict=True)
    )
    rows_of_interest = valid_rows(num_frames, torch.where(scale == 0, 0, lengths))
    for rows in layer.split(rows_of_interest):
        utterance = rows.div(num_frames, rounding_mode="floor")
        chunk, classes = flat[rows].to(layer.matmul_dtype), ids[utterance]
        for block in layer.blocks():
            grad = layer.logits(chunk, block).sub_(norm[rows][:, None])
            # exp(-70) is negligible, and not a denormal number, which would be slow on a CPU.
            grad.clamp_(min=-70).exp_()
            inside = classes.ge(block.start) & classes.lt(block.stop)
            place = classes.sub(block.start).clamp_(0, grad.shape[1] - 1)
            grad.scatter_add_(1, place, steps[rows].masked_fill_(~inside, 0).neg_())
            grad *= scale[utterance][:, None]
            if to_bias is not None:
                to_bias[block] += grad.sum(0)
            grad = grad.to(layer.matmul_dtype)
            if to_weight is not None:
                to_weight[block] += (grad.t() @ chunk).to(layer.dtype)
            if to_hidden is not None:
                to_hidden[rows] += (grad @ layer.weight[block]).to(layer.dtype)
            del grad  # free it before the next block is computed
    return None if to_hidden is None else to_hidden.view_as(hidden), to_weight, to_bias
