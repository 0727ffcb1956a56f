"""The transducer loss that stores three numbers per node instead of K logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.amp.autocast_mode import autocast
from torch.autograd.function import once_differentiable

from icefall_sampled.lengths import padding_mask
from icefall_sampled.losses.arguments import Inputs, zero_beyond
from icefall_sampled.losses.chunks import Chunk
from icefall_sampled.losses.draft import draft_log_probs, worthwhile_nodes
from icefall_sampled.losses.gradients import joiner_gradients
from icefall_sampled.losses.joiner_chunks import Joiner
from icefall_sampled.losses.lattice import posteriors
from icefall_sampled.losses.output_layer import dtypes_for
from icefall_sampled.sampling.vocabulary import SampledVocabulary


def fused_log_likelihood(
    batch: Inputs,
    predictor_out: Tensor,
    *,
    vocabulary: SampledVocabulary | None,
    draft: SampledVocabulary | None,
    activation: str,
    min_occupancy: float,
) -> Tensor:
    """(N,) log-likelihoods; see `transducer_loss`."""
    options = _Options(activation, min_occupancy, *dtypes_for(batch.hidden, batch.weight))
    total: Tensor = _FusedLogLikelihood.apply(
        batch.hidden,
        predictor_out,
        batch.weight,
        batch.bias,
        (batch.encoder_lengths, batch.target_lengths),
        _classes(vocabulary, batch),
        draft,
        options,
    )
    return total


class _Options(NamedTuple):
    activation: str
    min_occupancy: float
    dtype: torch.dtype
    matmul_dtype: torch.dtype


def _classes(vocabulary: SampledVocabulary | None, batch: Inputs) -> tuple[Tensor | None, Tensor]:
    """The joiner's `ids` and `labels`."""
    labels = batch.targets if vocabulary is None else vocabulary.targets
    labels = torch.nn.functional.pad(zero_beyond(labels, batch.target_lengths).long(), (0, 1))
    ids = None if vocabulary is None else vocabulary.ids
    # Strategy "batch" expands one row (stride 0): keep that row alone.
    return ids[:1] if ids is not None and ids.stride(0) == 0 else ids, labels


def log_probs_at(joiner: Joiner, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of blank and of the next label, and the softmax's log denominator.

    Each is (N, T, U + 1); the log denominator is always float64. `nodes` is a boolean of that
    shape. At the other nodes, log-probabilities are minus infinity and log denominators are 0.
    """
    blank = joiner.bias.new_full(nodes.shape, -torch.inf)
    label = torch.full_like(blank, -torch.inf)
    norm = torch.zeros_like(blank, dtype=torch.float64)
    for chunk in joiner.chunks(nodes.view(-1).nonzero()[:, 0]):
        values = _chunk_log_probs(joiner, chunk)
        for dense, value in zip((blank, label, norm), values, strict=True):
            dense.view(-1)[chunk.index] = value
    return blank, label, norm


def _chunk_log_probs(joiner: Joiner, chunk: Chunk) -> tuple[Tensor, Tensor, Tensor]:
    """The three numbers of each node of a chunk, each (G, M)."""
    _, frame, prefix = joiner.rows(chunk.index)
    hidden = joiner.hidden(frame, prefix).to(joiner.matmul_dtype)
    column = joiner.labels.view(-1)[prefix]
    blank = label = peak = total = torch.empty(0)
    for start, _, weight, bias in joiner.layers(chunk):
        logits = joiner.logits(hidden, weight, bias)
        inside, place = joiner.place(column, start, logits.shape[2])
        found = logits.gather(2, place)[..., 0]
        block_peak = logits.amax(2)
        if start == 0:
            blank, label = logits[..., 0].clone(), found
            peak, total = block_peak, logits.sub_(block_peak[..., None]).exp_().sum(2)
        else:
            label = torch.where(inside, found, label)
            old_peak, peak = peak, torch.maximum(peak, block_peak)
            total = total * (old_peak - peak).exp() + logits.sub_(peak[..., None]).exp_().sum(2)
        del logits  # free them before the next block is computed
    # A float32 sum of these two would lose digits of the logits.
    log_total = total.log()
    norm = peak.double() + log_total
    return (blank - peak).sub_(log_total), (label - peak).sub_(log_total), norm


class _FusedLogLikelihood(torch.autograd.Function):
    """encoder_out, predictor_out, weight, bias -> (N,) log-likelihoods."""

    @staticmethod
    def forward(
        ctx: Any,
        encoder_out: Tensor,
        predictor_out: Tensor,
        weight: Tensor,
        bias: Tensor,
        lengths: tuple[Tensor, Tensor],
        classes: tuple[Tensor | None, Tensor],
        draft: SampledVocabulary | None,
        options: _Options,
    ) -> Tensor:
        ctx.options = options
        encoder_lengths, target_lengths = lengths
        joiner = _joiner(encoder_out, predictor_out, weight, bias, *classes, options)
        with autocast(encoder_out.device.type, enabled=False):
            no_frame = padding_mask(encoder_lengths, encoder_out.shape[1])
            no_prefix = padding_mask(target_lengths.add(1), predictor_out.shape[1])
            nodes = ~(no_frame[:, :, None] | no_prefix[:, None])
            if draft is not None:
                blank, label = draft_log_probs(joiner, draft, lengths)
                nodes = worthwhile_nodes(
                    blank,
                    label[:, :, :-1],
                    *lengths,
                    min_occupancy=options.min_occupancy,
                    overwrite=True,
                )
            blank, label, norm = log_probs_at(joiner, nodes)
            # No label follows the last prefix. Its column is still minus infinity and must be zero.
            total, *_ = posteriors(blank, label[:, :, :-1], *lengths, overwrite=True)
            label[:, :, -1] = 0
        ctx.save_for_backward(
            encoder_out, predictor_out, weight, bias, *classes, norm, blank, label
        )
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        encoder_out, predictor_out, weight, bias, ids, labels, *steps = ctx.saved_tensors
        joiner = _joiner(encoder_out, predictor_out, weight, bias, ids, labels, ctx.options)
        inputs = encoder_out, predictor_out, weight, bias
        with autocast(grad.device.type, enabled=False):
            norm, blank, label = steps
            needed = ctx.needs_input_grad[:4]
            sums = joiner_gradients(
                joiner,
                norm,
                blank,
                label,
                grad,
                needed=needed,
                min_occupancy=ctx.options.min_occupancy,
            )
        gradients = [s if s is None else s.to(x.dtype) for s, x in zip(sums, inputs, strict=True)]
        return (*gradients, None, None, None, None)


def _joiner(
    encoder_out: Tensor,
    predictor_out: Tensor,
    weight: Tensor,
    bias: Tensor,
    ids: Tensor | None,
    labels: Tensor,
    options: _Options,
) -> Joiner:
    activation, _, dtype, matmul_dtype = options
    return Joiner(
        encoder_out,
        predictor_out,
        weight.detach().to(matmul_dtype),
        bias.detach().to(dtype),
        ids,
        labels,
        activation,
        dtype,
        matmul_dtype,
    )
