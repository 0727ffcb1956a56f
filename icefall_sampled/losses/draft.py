"""Coarse to fine: a few classes find the part of the lattice that is worth computing."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.losses.chunks import chunk_elements
from icefall_sampled.losses.joiner_chunks import Joiner
from icefall_sampled.losses.lattice import posteriors
from icefall_sampled.sampling.checks import valid_positions
from icefall_sampled.sampling.vocabulary import SampledVocabulary


def draft_log_probs(
    joiner: Joiner, draft: SampledVocabulary, lengths: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of blank and of the next label, each (N, T, U + 1), of a tiny softmax.

    Its classes are blank, the node's own next label, and the negatives of `draft` (as many of
    each row's first as every row has): about 14 classes, not the 60 that all of an utterance's
    labels would make. Values beyond the lengths mean nothing.

    Args:
        joiner: the whole output layer and its inputs; its `ids` and `labels` are not used.
        draft: positives and negatives of each row.
        lengths: of the encoder and of the targets, each (N,).
    """
    num_rows, num_frames, num_prefixes = *joiner.encoder_out.shape[:2], joiner.labels.shape[1]
    common = _blank_and_negatives(draft)
    own = draft.ids.gather(1, draft.targets.masked_fill(~_has_label(draft, lengths[1]), 0))
    own = torch.nn.functional.pad(own, (0, 1))  # 0, that is none, after the last label
    blank = joiner.bias.new_empty(num_rows, num_frames, num_prefixes)
    label = torch.empty_like(blank)
    frames, prefixes = (x.tolist() for x in lengths)
    # Utterances and prefixes at a time. A node needs hidden, a copy of it, and its logits.
    per_prefix = num_frames * (2 * joiner.width + common.shape[1] + 1)
    size = max(1, chunk_elements(joiner.dtype) // per_prefix)
    step, rows_step = min(size, num_prefixes), max(1, size // num_prefixes)
    for start in range(0, num_rows, rows_step):
        rows = slice(start, start + rows_step)
        t = slice(0, max(frames[rows]))
        for first in range(0, max(prefixes[rows]) + 1, step):
            u = slice(first, first + step)
            values = _tiny_softmax(joiner, rows, t, u, own[rows, u], common[rows])
            label[rows, t, u], blank[rows, t, u] = values[:, :, 0], values[:, :, 1]
    return blank, label


def _tiny_softmax(
    joiner: Joiner, rows: slice, t: slice, u: slice, own: Tensor, common: Tensor
) -> Tensor:
    """(rows, t, 2, u) log-probabilities of the own label and of blank."""
    hidden = joiner.encoder_out[rows, None, t].to(joiner.dtype)
    hidden = hidden + joiner.predictor_out[rows, u, None].to(joiner.dtype)
    hidden = hidden.tanh_() if joiner.activation == "tanh" else hidden.relu_()
    classes = torch.cat([own[:, :, None], common[:, None].expand(-1, own.shape[1], -1)], 2)
    # Classes times frames, not frames times classes: few rows are faster than few columns.
    logits = joiner.weight[classes] @ hidden.to(joiner.matmul_dtype).transpose(2, 3)
    logits = logits.to(joiner.dtype) + joiner.bias[classes][..., None]  # (rows, u, classes, t)
    logits[:, :, 0].masked_fill_(own.eq(0)[..., None], -torch.inf)
    return logits.log_softmax(2)[:, :, :2].permute(0, 3, 2, 1)


def _blank_and_negatives(draft: SampledVocabulary) -> Tensor:
    """(N, 1 + m) classes: blank and the first m negatives, m as every row has them."""
    num_negatives = draft.ids.shape[1] - int(draft.num_positive.max())
    places = torch.arange(num_negatives, device=draft.ids.device) + draft.num_positive[:, None]
    return torch.nn.functional.pad(draft.ids.gather(1, places), (1, 0))


def _has_label(draft: SampledVocabulary, target_lengths: Tensor) -> Tensor:
    return valid_positions(draft.targets.shape[1], target_lengths)


@torch.no_grad()
def worthwhile_nodes(
    blank_log_probs: Tensor,
    label_log_probs: Tensor,
    encoder_lengths: Tensor,
    target_lengths: Tensor,
    *,
    min_occupancy: float,
    overwrite: bool = False,
) -> Tensor:
    """Which nodes the draft lattice visits with a posterior above `min_occupancy`.

    One whole path is always among them, so that the loss stays finite: the one that leaves each
    frame at the median of the draft's distribution over where to leave it. An alignment leaves a
    frame once, and no later frame further down; so the medians never fall.

    Args:
        blank_log_probs: (N, T, U + 1) of the draft.
        label_log_probs: (N, T, U) of the draft.
        encoder_lengths: (N,).
        target_lengths: (N,).
        min_occupancy: in [0, 1).
        overwrite: see `posteriors`.

    Returns:
        (N, T, U + 1) booleans, false beyond the lengths.
    """
    _, blank, label = posteriors(
        blank_log_probs, label_log_probs, encoder_lengths, target_lengths, overwrite=overwrite
    )
    num_frames, num_nodes = blank.shape[1:]
    inside = valid_positions(num_frames, encoder_lengths)[:, :, None]
    inside = inside & valid_positions(num_nodes, target_lengths.add(1))[:, None]
    exits = blank.cumsum(2).lt(0.5).sum(2)  # (N, T)
    is_last = torch.arange(num_frames, device=blank.device) >= encoder_lengths[:, None] - 1
    exits = torch.minimum(exits, target_lengths[:, None])
    # Rounding may make a median fall after all.
    exits = torch.where(is_last, target_lengths[:, None], exits).cummax(1).values
    entries = torch.nn.functional.pad(exits[:, :-1], (1, 0))
    u = torch.arange(num_nodes, device=blank.device)
    on_path = u.ge(entries[:, :, None]) & u.le(exits[:, :, None])
    occupancy = torch.nn.functional.pad(label, (0, 1)).add_(blank)
    # `not <=` instead of `>`: where the draft is NaN, the loss shall be NaN too.
    return (~occupancy.le(min_occupancy) | on_path) & inside
