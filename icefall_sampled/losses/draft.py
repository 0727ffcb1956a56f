"""The draft pass: a softmax over few classes finds the lattice nodes worth computing."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.lengths import padding_mask
from icefall_sampled.losses.chunks import chunk_elements
from icefall_sampled.losses.joiner_chunks import Joiner
from icefall_sampled.losses.lattice import posteriors
from icefall_sampled.sampling.vocabulary import SampledVocabulary

WINDOW = 4
"""How many labels before and after the next one are in the draft's softmax."""


def draft_log_probs(
    joiner: Joiner, draft: SampledVocabulary, lengths: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of blank and of the next label, each (N, T, U + 1), over few classes.

    The softmax at each u is over blank, the labels within `WINDOW` of the next one, and those
    of the draft's negatives that the exact softmax has too. With other negatives, a draft of
    random logits cut paths that had a third of the probability. Using all labels of the
    utterance made the loss no more accurate, and the cost grow with the square of U.

    The draft visits every node, so it broadcasts the frames and prefixes of a few utterances
    against each other. The exact pass looks both up for each node.

    Args:
        joiner: the whole output layer and its inputs; its `labels` are not used.
        draft: the classes, and the labels as columns of them.
        lengths: of the encoder and of the targets, each (N,).

    Returns:
        Values beyond the lengths are undefined.
    """
    num_rows, num_frames, num_prefixes = *joiner.encoder_out.shape[:2], joiner.labels.shape[1]
    classes, is_first = _classes(joiner.ids, draft, lengths[1])
    own = 1 + WINDOW  # the next label's column, unless an earlier one has its class
    place = (classes.eq(classes[:, :, own, None]) & is_first).int().argmax(2)
    blank = joiner.bias.new_empty(num_rows, num_frames, num_prefixes)
    label = torch.empty_like(blank)
    frames, prefixes = (x.tolist() for x in lengths)
    # A node needs its hidden vector and its logits, and a temporary copy of each.
    num_classes = classes.shape[2]
    per_prefix = num_frames * 2 * (joiner.width + num_classes) + num_classes * joiner.width
    size = max(1, chunk_elements(joiner.dtype) // per_prefix)
    step, rows_step = min(size, num_prefixes), max(1, size // num_prefixes)
    for start in range(0, num_rows, rows_step):
        rows = slice(start, start + rows_step)
        t = slice(0, max(frames[rows]))
        for first in range(0, max(prefixes[rows]) + 1, step):
            u = slice(first, first + step)
            hidden = _hidden(joiner, rows, t, u)
            layer = _layer(joiner, classes[rows, u], is_first[rows, u])
            blank[rows, t, u], label[rows, t, u] = _log_probs(
                hidden, layer, place[rows, u], 2 if joiner.activation == "tanh" else 1
            )
    return blank, label


def _classes(
    ids: Tensor | None, draft: SampledVocabulary, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, U + 1, C) class ids at each u: blank, near labels, negatives; and which columns count.

    A column counts where its class appears for the first time, if the class is one of `ids`.
    """
    num_rows, num_labels = draft.targets.shape
    padding = padding_mask(target_lengths, num_labels)
    labels = draft.ids.gather(1, draft.targets.masked_fill(padding, 0)).masked_fill(padding, 0)
    near = torch.nn.functional.pad(labels, (WINDOW, WINDOW + 1)).unfold(1, 2 * WINDOW + 1, 1)
    # Rows with fewer positives have more negatives. All rows take the smallest number.
    num_negatives = draft.ids.shape[1] - int(draft.num_positive.max())
    column = torch.arange(num_negatives, device=labels.device)
    negatives = draft.ids.gather(1, draft.num_positive[:, None] + column)
    if ids is not None:
        is_class = negatives[:, :, None].eq(ids[:, None]).any(2)
        negatives = negatives.masked_fill(~is_class, 0)  # a repeated blank does not count
    shape = num_rows, num_labels + 1
    classes = torch.cat(
        [
            torch.zeros_like(near[:, :, :1]),
            near,
            negatives[:, None].expand(*shape, -1),
        ],
        2,
    )
    # The negatives are distinct, so comparing with blank and the near labels is enough.
    few = classes[:, :, : 2 * WINDOW + 2]
    before = torch.ones(classes.shape[2], few.shape[2], dtype=torch.bool, device=few.device)
    again = classes[..., None].eq(few[:, :, None]) & before.tril(-1)
    return classes, ~again.any(3)


def _layer(joiner: Joiner, classes: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (G, C, J) and biases (G, C, 1) that go with `_hidden`; G is rows times u."""
    weight, bias = joiner.weight[classes.flatten(0, 1)], joiner.bias[classes]
    bias = bias.masked_fill(~is_first, -torch.inf).flatten(0, 1)
    if joiner.activation == "tanh":
        bias = bias - weight.sum(2, dtype=joiner.dtype)
    return weight, bias[..., None]


def _hidden(joiner: Joiner, rows: slice, t: slice, u: slice) -> Tensor:
    """(rows, u, t, J) hidden vectors; instead of tanh(x), sigmoid(2 x) = tanh(x) / 2 + 1 / 2.

    On a CPU, torch computes a sigmoid four times as fast as a tanh. The bias of `_layer` and the
    scale of `_log_probs` correct for the difference.
    """
    encoder = joiner.encoder_out[rows, None, t].to(joiner.dtype)
    predictor = joiner.predictor_out[rows, u, None].to(joiner.dtype)
    if joiner.activation == "relu":
        return (encoder + predictor).relu_()
    return (2 * encoder + 2 * predictor).sigmoid_()


def _log_probs(
    hidden: Tensor, layer: tuple[Tensor, Tensor], place: Tensor, scale: int
) -> tuple[Tensor, Tensor]:
    """(rows, t, u) log-probabilities of blank and of the next label, which is column `place`."""
    weight, bias = layer
    shape = hidden.shape[:3]  # rows, u, t
    # Classes by frames, not frames by classes: few rows are faster than few columns.
    frames = hidden.to(weight.dtype).flatten(0, 1).transpose(1, 2)
    if weight.dtype == bias.dtype:
        logits = torch.baddbmm(bias, weight, frames, alpha=scale)  # (rows * u, C, t)
    else:
        logits = (weight @ frames).to(bias.dtype).mul_(scale).add_(bias)
    norm = logits.logsumexp(1)
    label = logits.gather(1, place.view(-1, 1, 1).expand(-1, 1, shape[2]))[:, 0].sub_(norm)
    blank = logits[:, 0] - norm
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
    """The nodes that the draft lattice visits with a posterior above `min_occupancy`.

    One whole path is always among them, so that the loss stays finite. It leaves each frame at
    the median u of the draft's posterior of blank steps. An alignment leaves each frame once,
    and never at a smaller u than the frame before, so the medians never fall.

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
    padding = padding_mask(encoder_lengths, num_frames)[:, :, None]
    padding = padding | padding_mask(target_lengths.add(1), num_nodes)[:, None]
    exits = blank.cumsum(2).lt(0.5).sum(2)  # (N, T)
    is_last = padding_mask(encoder_lengths - 1, num_frames)
    exits = torch.minimum(exits, target_lengths[:, None])
    # Rounding errors may still make a median fall.
    exits = torch.where(is_last, target_lengths[:, None], exits).cummax(1).values
    entries = torch.nn.functional.pad(exits[:, :-1], (1, 0))
    u = torch.arange(num_nodes, device=blank.device)
    on_path = u.ge(entries[:, :, None]) & u.le(exits[:, :, None])
    occupancy = torch.nn.functional.pad(label, (0, 1)).add_(blank)
    # `not <=` instead of `>` keeps nodes where the draft is NaN, so that the loss is NaN too.
    return (~occupancy.le(min_occupancy) | on_path) & ~padding
