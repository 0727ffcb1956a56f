"""Sums over alignments; the only file that imports k2 or fast_rnnt.

Both packages implement the same recursion, by the same authors. lattice_torch.py implements it in
plain torch, for machines without either. The packages' names stay in these two files: B, S, T
(batch, labels, frames), px and py (label and blank steps), boundary.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.amp.autocast_mode import autocast
from torch.autograd.function import once_differentiable

from icefall_sampled.errors import MissingPackage, first_line
from icefall_sampled.lengths import padding_mask
from icefall_sampled.losses import lattice_torch
from icefall_sampled.losses.chunks import chunk_elements

_PACKAGES = ("k2", "fast_rnnt")


def _load() -> tuple[ModuleType, dict[str, str]]:
    """The first package that can be imported, else our own, and why each one before it failed."""
    failures: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            return importlib.import_module(name), failures
        except (ImportError, OSError, RuntimeError) as error:
            # A build for another torch fails in any of these ways.
            failures[name] = first_line(error)
    return lattice_torch, failures


_module, _failures = _load()

BACKEND: str = "torch" if _module is lattice_torch else _module.__name__
"""The backend that sums the lattice: "k2", "fast_rnnt", or "torch" if neither can be imported."""


def why() -> str:
    """One sentence: which backend is in use, and why."""
    failed = "; ".join(f"{name} cannot be imported ({text})" for name, text in _failures.items())
    if failed:
        return f"The lattice uses {BACKEND}, because {failed}."
    return f"The lattice uses {BACKEND}, the preferred backend."


def log_likelihood(
    blank_log_probs: Tensor,
    label_log_probs: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
) -> Tensor:
    """Log-likelihood of the targets, summed over all alignments; differentiable.

        alpha[t, u] = logaddexp(alpha[t - 1, u] + blank[t - 1, u],
                                alpha[t, u - 1] + label[t, u - 1]),   alpha[0, 0] = 0
        log P(y | x) = alpha[T - 1, U] + blank[T - 1, U]

    Runs outside autocast and in float64 whatever the input: float32 has too few digits for
    sums of thousands of nats, and its posteriors were 15 times less accurate.

    Args:
        blank_log_probs: (N, T, U + 1) log-probability of blank at each node.
        label_log_probs: (N, T, U) log-probability of the next label at each node.
        encoder_lengths: (N,) in [1, T].
        target_lengths: (N,) in [0, U].

    Returns:
        (N,) log-likelihoods in nats, float64 for float64 inputs, else float32. Values beyond the
        lengths, NaN included, change nothing and get zero gradient.

    Source: Equation 2 of the sampled-softmax paper.
    """
    total: Tensor = _LogLikelihood.apply(
        blank_log_probs, label_log_probs, encoder_lengths, target_lengths
    )
    return total


@torch.no_grad()
def posteriors(
    blank_log_probs: Tensor,
    label_log_probs: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    overwrite: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihood (N,) and the posterior of each step: blank (N, T, U + 1), label (N, T, U).

    The posterior of a step is the share of the total probability that alignments with this step
    have. It is the gradient of the log-likelihood. At each node, the posteriors of blank and
    label sum to the node's occupancy. Posteriors are zero beyond the lengths, and NaN where the
    log-likelihood is not finite. Arguments, type of the result and errors are those of
    `log_likelihood`; `overwrite` saves memory by computing the posteriors in place.
    """
    dtype = torch.float64 if blank_log_probs.dtype == torch.float64 else torch.float32
    blank, label = blank_log_probs, label_log_probs
    if not overwrite:
        blank, label = torch.empty_like(blank, dtype=dtype), torch.empty_like(label, dtype=dtype)
    total = blank.new_empty(len(blank))
    # A few utterances at a time: the backend needs six float64 numbers per node.
    size = max(1, chunk_elements(torch.float64) // (6 * blank[0].numel()))
    for rows in (slice(start, start + size) for start in range(0, len(blank), size)):
        total[rows], blank[rows], label[rows] = _posteriors(
            blank_log_probs[rows],
            label_log_probs[rows],
            encoder_lengths[rows],
            target_lengths[rows],
        )
    return total, blank, label


def _posteriors(
    blank_log_probs: Tensor,
    label_log_probs: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """`posteriors` of rows that the backend computes in one call, in float64."""
    px, py, boundary = _prepare(blank_log_probs, label_log_probs, encoder_lengths, target_lengths)
    with autocast(px.device.type, enabled=False):
        total, (px_grad, py_grad) = _backend(px.device).mutual_information_recursion(
            px, py, boundary, return_grad=True
        )
    # For a NaN total the backend returns zero posteriors, which would hide a broken model.
    broken = ~total.isfinite()[:, None, None]
    # The backend leaves values outside the boundary undefined.
    no_blank, no_label = _outside(blank_log_probs, encoder_lengths, target_lengths)
    py_grad.masked_fill_(broken, torch.nan).masked_fill_(no_blank, 0)
    px_grad = px_grad[:, :, :-1].masked_fill_(broken, torch.nan).masked_fill_(no_label, 0)
    return total, py_grad.transpose(1, 2), px_grad.transpose(1, 2)


class _LogLikelihood(torch.autograd.Function):
    """A log-likelihood whose backward uses `posteriors` and can run more than once.

    The backends have their own backward, but fast_rnnt's works only once: it scales its saved
    gradients in place.
    """

    @staticmethod
    def forward(ctx: Any, blank: Tensor, label: Tensor, frames: Tensor, labels: Tensor) -> Tensor:
        total, blank_posterior, label_posterior = posteriors(blank, label, frames, labels)
        ctx.save_for_backward(blank_posterior, label_posterior)
        ctx.dtypes = blank.dtype, label.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [posterior * grad[:, None, None] for posterior in ctx.saved_tensors]
        blank, label = (x.to(dtype) for x, dtype in zip(scaled, ctx.dtypes, strict=True))
        return blank, label, None, None


def _backend(device: torch.device) -> ModuleType:
    """The package in use, or our own on a GPU if the package was built without CUDA."""
    compiled = getattr(_module, "with_cuda", True)
    if callable(compiled):  # in fast_rnnt; k2 has a constant
        compiled = compiled()
    return _module if device.type == "cpu" or compiled else lattice_torch


def simple_losses(
    encoder: Tensor,
    predictor: Tensor,
    targets: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    range_labels: int,
    lm_scale: float,
    am_scale: float,
) -> tuple[Tensor, Tensor]:
    """The simple loss, whose joiner is a sum, and the ranges of prefixes that it finds.

    Args:
        encoder: (N, T, V).
        predictor: (N, U + 1, V). An utterance without labels has its only prefix at
            index 1, not 0: the packages accept none that ends at 0.
        targets: (N, U) in [0, V), U from 1 to T.
        encoder_lengths: (N,) in [1, T].
        target_lengths: (N,) in [0, U].
        range_labels: R; values above U + 1 mean U + 1.
        lm_scale: share of the predictor alone in the log-probabilities.
        am_scale: share of the encoder alone.

    Returns:
        (N,) losses in nats, and (N, T, R) prefixes, by number of labels, that each frame keeps.

    Source: Kuang et al. 2022, Sections 3.1 and 3.2.
    """
    package, boundary = package_for(encoder.device), _boundary(encoder_lengths, target_lengths)
    with autocast(encoder.device.type, enabled=False):
        losses, (px_grad, py_grad) = package.rnnt_loss_smoothed(
            lm=_at_least_float32(predictor),
            am=_at_least_float32(encoder),
            symbols=targets.long(),
            termination_symbol=0,
            lm_only_scale=lm_scale,
            am_only_scale=am_scale,
            boundary=boundary,
            reduction="none",
            return_grad=True,
        )
        ranges = package.get_rnnt_prune_ranges(px_grad, py_grad, boundary, range_labels)
    return losses, ranges


def within_ranges(encoder: Tensor, predictor: Tensor, ranges: Tensor) -> tuple[Tensor, Tensor]:
    """(N, T, J), (N, U + 1, J) -> two (N, T, R, J), at the prefixes that each frame keeps."""
    frames, prefixes = package_for(encoder.device).do_rnnt_pruning(encoder, predictor, ranges)
    return frames, prefixes


def pruned_losses(
    logits: Tensor,
    ranges: Tensor,
    targets: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
) -> Tensor:
    """(N,) losses in nats over the paths within the ranges, from (N, T, R, V) logits.

    The other arguments are those of `simple_losses`.
    """
    with autocast(logits.device.type, enabled=False):
        losses: Tensor = package_for(logits.device).rnnt_loss_pruned(
            logits=_at_least_float32(logits),
            symbols=targets.long(),
            ranges=ranges,
            termination_symbol=0,
            boundary=_boundary(encoder_lengths, target_lengths),
            reduction="none",
        )
    return losses


def package_for(device: torch.device) -> ModuleType:
    """k2 or fast_rnnt, for the pruned loss.

    Raises:
        MissingPackage: neither can be used on this device.
    """
    found = _backend(device)
    if found is lattice_torch:
        raise MissingPackage(f"The pruned loss needs k2 or fast_rnnt for {device.type}. {why()}")
    return found


def _boundary(encoder_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """(B, 4): first and last prefix and frame; without labels, both prefixes are 1."""
    empty = target_lengths.eq(0).to(target_lengths.dtype)
    begin = torch.zeros_like(encoder_lengths)
    return torch.stack([empty, begin, target_lengths + empty, encoder_lengths], 1).long()


def _at_least_float32(tensor: Tensor) -> Tensor:
    """float32 or float64, the types that the packages take."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _outside(
    blank_log_probs: Tensor, encoder_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """The steps that do not exist, frames last: blank (B, S + 1, T) and label (B, S, T)."""
    _, num_frames, num_nodes = blank_log_probs.shape
    no_frame = padding_mask(encoder_lengths, num_frames)[:, None, :]
    no_blank = padding_mask(target_lengths.add(1), num_nodes)[:, :, None] | no_frame
    return no_blank, padding_mask(target_lengths, num_nodes - 1)[:, :, None] | no_frame


def _prepare(
    blank_log_probs: Tensor,
    label_log_probs: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The backend's px (B, S, T + 1), py (B, S + 1, T) and boundary (B, 4).

    Values beyond the lengths are minus infinity.
    """
    num_rows, num_frames, num_nodes = blank_log_probs.shape
    assert label_log_probs.shape == (num_rows, num_frames, num_nodes - 1)
    no_blank, no_label = _outside(blank_log_probs, encoder_lengths, target_lengths)
    py = blank_log_probs.transpose(1, 2).double().masked_fill(no_blank, -torch.inf)
    px = label_log_probs.transpose(1, 2).double().masked_fill(no_label, -torch.inf)
    # No label follows the last blank: add one frame of minus infinity.
    px = torch.nn.functional.pad(px, (0, 1), value=-torch.inf)
    zero = torch.zeros_like(target_lengths)
    boundary = torch.stack([zero, zero, target_lengths, encoder_lengths], 1).long()
    return px.contiguous(), py.contiguous(), boundary
