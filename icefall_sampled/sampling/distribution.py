"""One distribution over the vocabulary per utterance, from the frames of a CTC head.

The uniform distribution needs no code: `sample_vocabulary(..., probs=None)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.lengths import padding_mask
from icefall_sampled.sampling.checks import (
    check_lengths_shape,
    lengths_check,
    raise_first,
)


@torch.no_grad()
def mean_posterior(ctc_log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Average a CTC posterior over the frames of each utterance.

        mean[n, v] = 1 / T_n * sum_{t < T_n} exp(ctc_log_probs[n, t, v])

    It is a constant for autograd: it chooses classes, and a choice has no gradient.
    `ctc_loss(..., return_mean_posterior=True)` gives the same without an (N, T, V) tensor.

    Args:
        ctc_log_probs: (N, T, V) log-probabilities; frames beyond `lengths` may hold anything,
            NaN included.
        lengths: (N,) frames of each utterance, each in [1, T].

    Returns:
        (N, V) probabilities, each row summing to 1; float64 for float64, else float32.

    Raises:
        ValueError: shapes do not fit, or a length is outside [1, T].

    Source: Section 3.2 of the sampled-softmax paper, for sampling, and Section 3.3, for decoding.
    """
    if ctc_log_probs.dim() != 3 or 0 in ctc_log_probs.shape:
        raise ValueError(
            f"ctc_log_probs must be a non-empty (N, T, V), was {tuple(ctc_log_probs.shape)}"
        )
    if not ctc_log_probs.is_floating_point():
        raise ValueError(f"ctc_log_probs must be floating point, was {ctc_log_probs.dtype}")
    num_rows, num_frames, _ = ctc_log_probs.shape
    check_lengths_shape("lengths", lengths, num_rows)
    lengths = lengths.to(ctc_log_probs.device)
    raise_first([lengths_check("lengths", lengths, 1, num_frames)])
    return posterior_sum(ctc_log_probs, lengths).div_(lengths[:, None])


def posterior_sum(ctc_log_probs: Tensor, lengths: Tensor) -> Tensor:
    """`mean_posterior` times the lengths, which may be 0; unchecked, so that it can be traced."""
    padding = padding_mask(lengths, ctc_log_probs.shape[1])
    posterior = ctc_log_probs.masked_fill(padding[:, :, None], -torch.inf)
    if posterior.dtype != torch.float64:
        posterior = posterior.float()  # sums of half precision lose digits
    return posterior.exp_().sum(1)


@torch.no_grad()
def top_k(posterior: Tensor, k: int) -> Tensor:
    """The classes that constrained decoding may emit: the k most probable, blank among them.

    Blank is always allowed and counts as one of the k, as it counts among the K classes of a
    sampled softmax. In nearly every mean CTC posterior it is the most probable class anyway.
    With k = V every class is allowed, and decoding is unconstrained.

    Args:
        posterior: (N, V), for example from `mean_posterior`.
        k: how many classes, at least 1; more than V means V.

    Returns:
        (N, min(k, V)) int64 class ids without repeats, blank (0) in column 0, then by
        descending probability.

    Raises:
        ValueError: `posterior` is not (N, V), or k < 1.

    Source: Section 3.3 of the sampled-softmax paper.
    """
    if posterior.dim() != 2 or 0 in posterior.shape:
        raise ValueError(f"posterior must be a non-empty (N, V), was {tuple(posterior.shape)}")
    if k < 1:
        raise ValueError(f"k must be at least 1, was {k}")
    scores = posterior.clone()
    scores[:, 0] = torch.inf
    return scores.topk(min(k, posterior.shape[1]), dim=1).indices
