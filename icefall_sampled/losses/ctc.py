"""The CTC loss of a linear head, and the mean posterior that sampling needs."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from icefall_sampled.losses.arguments import (
    REDUCTIONS,
    Inputs,
    check_batch,
    check_values,
    choose,
    reduce_loss,
    zero_beyond,
)
from icefall_sampled.losses.ctc_fused import fused_ctc
from icefall_sampled.sampling.distribution import mean_posterior

IMPLEMENTATIONS = ("auto", "fused", "naive")


@overload
def ctc_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    reduction: str = ...,
    zero_infinity: bool = ...,
    implementation: str = ...,
    return_mean_posterior: Literal[False] = ...,
) -> Tensor: ...


@overload
def ctc_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    reduction: str = ...,
    zero_infinity: bool = ...,
    implementation: str = ...,
    return_mean_posterior: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def ctc_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    reduction: str = "mean",
    zero_infinity: bool = False,
    implementation: str = "auto",
    return_mean_posterior: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Negative log-likelihood of the targets under CTC.

        loss[n] = -log sum_{z: collapse(z) = targets[n]} prod_t p[n, t, z_t]
        p[n, t] = softmax(weight @ hidden[n, t] + bias)

    The naive equivalent:

        log_probs = linear(hidden, weight, bias).log_softmax(2)
        loss = torch.nn.functional.ctc_loss(log_probs.transpose(0, 1), targets,
                                            encoder_lengths, target_lengths, reduction="none")

    Args:
        hidden: (N, T, D) output of an encoder layer.
        weight: (V, D) of the CTC head.
        bias: (V,) of the CTC head.
        targets: (N, U) integers in [1, V); padding may hold anything.
        encoder_lengths: (N,) in [1, T].
        target_lengths: (N,) in [0, U].
        reduction: "mean" over utterances (unlike torch's, which divides by the target lengths
            first), "sum", or "none": (N,).
        zero_infinity: an utterance with more labels, repeats counted twice, than frames has
            no alignment. Its loss is infinite and its gradient undefined; with
            `zero_infinity` both are 0.
        implementation: "fused" (and "auto") computes logits in chunks (see `set_chunk_mib`),
            keeps those of blank and the targets, and computes them again in backward. "naive"
            stores (N, T, V).
        return_mean_posterior: also return the head's posterior averaged over frames, (N, V),
            a constant for autograd, for `sample_vocabulary(..., probs=...)`.

    Returns:
        The loss in nats, float64 for a float64 `hidden`, else float32; or (loss, mean posterior).
        Values of `hidden` and `targets` beyond the lengths, NaN included, have no effect.

    Raises:
        ValueError: an argument has the wrong shape or value; the sentence names it.

    Source: Section 2.2 of the sampled-softmax paper; Graves et al. 2006.
    """
    choose("reduction", reduction, REDUCTIONS)
    choose("implementation", implementation, IMPLEMENTATIONS)
    batch = Inputs.of(hidden, weight, bias, targets, encoder_lengths, target_lengths)
    check_batch("hidden", batch)
    check_values(batch, [])
    implement = _naive if implementation == "naive" else fused_ctc
    losses, posterior = implement(
        batch, zero_infinity=zero_infinity, with_posterior=return_mean_posterior
    )
    loss = reduce_loss(losses, reduction)
    return (loss, posterior) if posterior is not None else loss


def _naive(
    batch: Inputs, *, zero_infinity: bool, with_posterior: bool
) -> tuple[Tensor, Tensor | None]:
    """(N,) losses and, if asked for, the (N, V) mean posterior."""
    hidden, weight, bias, targets, encoder_lengths, target_lengths = batch
    hidden, labels = zero_beyond(hidden, encoder_lengths), zero_beyond(targets, target_lengths)
    # Compute in the type of `hidden`, whatever the types of the parameters.
    weight, bias = weight.to(hidden.dtype), bias.to(hidden.dtype)
    logits = torch.nn.functional.linear(hidden, weight, bias)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    log_probs = logits.log_softmax(2)
    losses = torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1),
        labels.long(),
        encoder_lengths.long(),
        target_lengths.long(),
        reduction="none",
        zero_infinity=zero_infinity,
    )
    return losses, mean_posterior(log_probs, encoder_lengths) if with_posterior else None
