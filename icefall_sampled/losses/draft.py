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
    """Log-probabilities of blank and of the next label, each (N, T, U + 1), over few classes.

    The softmax is over the classes of `draft` that the exact softmax has too: with others in it,
    a draft of random logits cut paths that had a third of the probability. Leaving out the
    utterance's other labels at each node, which costs half as much, made the loss a hundred times
    less accurate. Every node is visited, so nothing needs to be looked up by node, as the exact
    pass does: the frames and prefixes of a few utterances are combined as they lie.

    Args:
        joiner: the whole output layer and its inputs; its `labels` are not used.
        draft: the classes, and the labels as columns of them.
        lengths: of the encoder and of the targets, each (N,).

    Returns:
        Values beyond the lengths mean nothing.
    """
    num_rows, num_frames, num_prefixes = *joiner.encoder_out.shape[:2], joiner.labels.shape[1]
    has_label = valid_positions(num_prefixes - 1, lengths[1])
    columns = torch.nn.functional.pad(draft.targets.masked_fill(~has_label, 0), (0, 1))
    blank = joiner.bias.new_empty(num_rows, num_frames, num_prefixes)
    label = torch.empty_like(blank)
    frames, prefixes = (x.tolist() for x in lengths)
    # A node needs hidden and its logits, and each of them once more on the way.
    per_prefix = num_frames * 2 * (joiner.width + draft.ids.shape[1])
    size = max(1, chunk_elements(joiner.dtype) // per_prefix)
    step, rows_step = min(size, num_prefixes), max(1, size // num_prefixes)
    for start in range(0, num_rows, rows_step):
        rows = slice(start, start + rows_step)
        t = slice(0, max(frames[rows]))
        layer = _few_classes(joiner, rows, draft.ids[rows])
        for first in range(0, max(prefixes[rows]) + 1, step):
            u = slice(first, first + step)
            hidden = _hidden(joiner, rows, t, u)
            blank[rows, t, u], label[rows, t, u] = _log_probs(hidden, layer, columns[rows, u])
    return blank, label


def _few_classes(joiner: Joiner, rows: slice, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (rows, K, J) and biases (rows, K) for `_hidden`; -inf for no class of the softmax."""
    weight, bias = joiner.weight[classes], joiner.bias[classes]
    if joiner.activation == "tanh":
        bias = bias - weight.sum(2, dtype=joiner.dtype)
        weight = 2 * weight
    if joiner.ids is not None:
        ids = joiner.ids if len(joiner.ids) == 1 else joiner.ids[rows]
        is_class = classes[:, :, None].eq(ids[:, None]).any(2)
        bias = bias.masked_fill(~is_class, -torch.inf)
    return weight, bias


def _hidden(joiner: Joiner, rows: slice, t: slice, u: slice) -> Tensor:
    """(rows, u, t, J) hidden vectors; of tanh(x) the sigmoid(2 x) = (1 + tanh(x)) / 2.

    On a CPU torch computes a sigmoid four times as fast as a tanh. The output layer takes back
    the 1 and the half.
    """
    encoder = joiner.encoder_out[rows, None, t].to(joiner.dtype)
    predictor = joiner.predictor_out[rows, u, None].to(joiner.dtype)
    if joiner.activation == "relu":
        return (encoder + predictor).relu_()
    return (2 * encoder + 2 * predictor).sigmoid_()


def _log_probs(
    hidden: Tensor, layer: tuple[Tensor, Tensor], columns: Tensor
) -> tuple[Tensor, Tensor]:
    """(rows, t, u) log-probabilities of blank and of the next label, a column of the layer."""
    weight, bias = layer
    shape = hidden.shape[:3]  # rows, u, t
    # Classes times nodes, not nodes times classes: few rows are faster than few columns.
    nodes = hidden.to(weight.dtype).flatten(1, 2).transpose(1, 2)
    logits = (weight @ nodes).to(bias.dtype)
    logits += bias[..., None]  # (rows, K, u * t)
    place = columns[:, :, None].expand(shape).flatten(1)[:, None]
    label, norm = logits.gather(1, place)[:, 0], logits.logsumexp(1)
    blank = logits[:, 0] - norm
    label = label - norm
    return blank.view(shape).transpose(1, 2), label.view(shape).transpose(1, 2)


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
