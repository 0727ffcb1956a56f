"""Coarse to fine: a few classes find the part of the lattice that is worth computing."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.losses.lattice import posteriors
from icefall_sampled.sampling.checks import valid_positions


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
