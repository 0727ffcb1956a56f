"""The pruned transducer loss of k2 and icefall, with the simple loss that finds its ranges."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from icefall_sampled.losses import lattice
from icefall_sampled.losses.arguments import (
    ACTIVATIONS,
    REDUCTIONS,
    Inputs,
    check_batch,
    check_rows,
    check_values,
    choose,
    reduce_loss,
    zero_beyond,
)


def pruned_transducer_loss(
    encoder_simple: Tensor,
    predictor_simple: Tensor,
    encoder_joiner: Tensor,
    predictor_joiner: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    range_labels: int = 5,
    lm_scale: float = 0.25,
    am_scale: float = 0.0,
    activation: str = "tanh",
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of the targets under two joiners: a sum, and the model's own.

        simple: p[n, t, u] = softmax(encoder_simple[n, t] + predictor_simple[n, u]), over all nodes
        pruned: p[n, t, u] = softmax(weight @ act(encoder_joiner[n, t] + predictor_joiner[n, u])
                                     + bias), over the nodes of the ranges

    each summed over alignments as `transducer_loss` does. The range of a frame is R successive
    prefixes, given by their number of labels: those that the simple loss visits most, shifted so
    that a path leads through the ranges of all frames. The naive equivalent, where R covers all
    prefixes and both scales are 0:

        logits = encoder_simple[:, :, None] + predictor_simple[:, None]
        simple = rnnt_loss(logits, targets, encoder_lengths, target_lengths, blank=0)
        pruned = transducer_loss(encoder_joiner, predictor_joiner, weight, bias, targets,
                                 encoder_lengths, target_lengths)

    Args:
        encoder_simple: (N, T, V), projected by the simple loss's own layer.
        predictor_simple: (N, U + 1, V), likewise.
        encoder_joiner: (N, T, J), projected to joiner width.
        predictor_joiner: (N, U + 1, J), likewise.
        weight: (V, J) of the joiner's output layer.
        bias: (V,) of the joiner's output layer.
        targets: (N, U) integers in [1, V); padding may hold anything.
        encoder_lengths: (N,) in [1, T].
        target_lengths: (N,) in [0, U].
        range_labels: R, at least 2. If an utterance has more than R - 1 labels per frame, the
            ranges of the whole batch are widened until a path leads through that utterance.
        lm_scale: share of the predictor alone in the log-probabilities of the simple loss.
        am_scale: share of the encoder alone. Above 0, the simple loss of an utterance depends on
            the predictor's outputs for the whole batch, padding included, as in k2.
        activation: "tanh" or "relu".
        reduction: "mean" or "sum" over utterances, or "none": (N,).

    Returns:
        The simple and the pruned loss in nats, float64 for float64 inputs, else float32. Values
        beyond the lengths, NaN included, affect neither the losses (but see `am_scale`) nor the
        gradients.

    Raises:
        ValueError: an argument has the wrong shape or value; the sentence names it.
        MissingPackage: neither k2 nor fast_rnnt is installed (for this device).

    Source: Kuang et al. 2022, "Pruned RNN-T for fast, memory-efficient ASR training".
    """
    _check_options(range_labels, lm_scale, am_scale, activation, reduction)
    batch = Inputs.of(encoder_joiner, weight, bias, targets, encoder_lengths, target_lengths)
    check_batch("encoder_joiner", batch)
    _check_shapes(batch, encoder_simple, predictor_simple, predictor_joiner)
    check_values(batch, [])
    losses = _losses(
        batch, encoder_simple, predictor_simple, predictor_joiner,
        activation=activation, range_labels=range_labels, lm_scale=lm_scale, am_scale=am_scale,
    )  # fmt: skip
    simple, pruned = (reduce_loss(loss, reduction) for loss in losses)
    return simple, pruned


def _losses(
    batch: Inputs,
    encoder_simple: Tensor,
    predictor_simple: Tensor,
    predictor_joiner: Tensor,
    *,
    activation: str,
    range_labels: int,
    lm_scale: float,
    am_scale: float,
) -> tuple[Tensor, Tensor]:
    """(N,) simple and pruned losses of checked arguments."""
    encoder_joiner, weight, bias, targets, encoder_lengths, target_lengths = batch
    # The packages take neither a batch without labels nor one with more labels than frames.
    num_labels = max(targets.shape[1], 1)
    num_frames = max(encoder_joiner.shape[1], num_labels)
    frames = functools.partial(_filled, lengths=encoder_lengths, size=num_frames)
    prefixes = functools.partial(_prefixes, lengths=target_lengths, size=num_labels + 1)
    sizes = _filled(targets, target_lengths, num_labels), encoder_lengths, target_lengths
    densest = int((target_lengths / encoder_lengths).ceil().max())
    simple, ranges = lattice.simple_losses(
        frames(encoder_simple),
        prefixes(predictor_simple),
        *sizes,
        range_labels=max(range_labels, densest + 1),
        lm_scale=lm_scale,
        am_scale=am_scale,
    )
    encoder, predictor = lattice.within_ranges(
        frames(encoder_joiner), prefixes(predictor_joiner), ranges
    )
    logits = _join(encoder + predictor, weight, bias, activation)
    return simple, lattice.pruned_losses(logits, ranges, *sizes)


def _filled(rows: Tensor, lengths: Tensor, size: int) -> Tensor:
    """(N, L) or (N, L, W) -> (N, size) or (N, size, W), with zeros beyond the lengths."""
    rows, more = zero_beyond(rows, lengths), size - rows.shape[1]
    if more == 0:
        return rows
    return torch.nn.functional.pad(rows, (0, more) if rows.dim() == 2 else (0, 0, 0, more))


def _prefixes(rows: Tensor, lengths: Tensor, size: int) -> Tensor:
    """(N, U + 1, W) -> (N, size, W), padded; without labels, prefix 0 moves to prefix 1."""
    rows = _filled(rows, lengths.add(1), size)
    empty = lengths.eq(0)
    return torch.where(empty[:, None, None], rows.roll(1, dims=1), rows) if empty.any() else rows


def _join(hidden: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """(N, T, R, J) sums of both projections -> (N, T, R, V) logits."""
    dtype = hidden.dtype
    hidden = hidden.tanh() if activation == "tanh" else hidden.relu()
    return torch.nn.functional.linear(hidden, weight.to(dtype), bias.to(dtype))


def _check_options(
    range_labels: int, lm_scale: float, am_scale: float, activation: str, reduction: str
) -> None:
    choose("activation", activation, ACTIVATIONS)
    choose("reduction", reduction, REDUCTIONS)
    if range_labels < 2:
        raise ValueError(f"range_labels must be at least 2, was {range_labels}")
    scales = {
        "lm_scale": lm_scale,
        "am_scale": am_scale,
        "lm_scale + am_scale": lm_scale + am_scale,
    }
    for name, scale in scales.items():
        if not 0 <= scale < 1:
            raise ValueError(f"{name} must be in [0, 1), was {scale}")


def _check_shapes(
    batch: Inputs, encoder_simple: Tensor, predictor_simple: Tensor, predictor_joiner: Tensor
) -> None:
    """Check that the others fit the batch, which `check_batch` has checked."""
    num_rows, num_frames, width = batch.hidden.shape
    num_prefixes, vocab_size = batch.targets.shape[1] + 1, len(batch.bias)
    check_rows("encoder_simple", encoder_simple, "(N, T, V)", (num_rows, num_frames, vocab_size))
    prefixes = num_rows, num_prefixes
    check_rows("predictor_simple", predictor_simple, "(N, U + 1, V)", (*prefixes, vocab_size))
    check_rows("predictor_joiner", predictor_joiner, "(N, U + 1, J)", (*prefixes, width))
