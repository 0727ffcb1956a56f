"""The lattice recursion in plain torch, for where neither k2 nor fast_rnnt can be used.

It replaces `mutual_information_recursion` of those packages and keeps their names: B utterances,
S labels, T frames; px and py are the log-probabilities of a label and of a blank. The nodes with
the same s + t form an anti-diagonal. They depend only on the anti-diagonal before it, so they are
computed together: S + T + 1 steps of a few operations on (B, S + 1), on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mutual_information_recursion(
    px: Tensor, py: Tensor, boundary: Tensor, *, return_grad: bool = True
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Log of the sum over all paths from node (0, 0) to (S_b, T_b), and the posterior of each step.

        p[s, t] = logaddexp(p[s - 1, t] + px[s - 1, t], p[s, t - 1] + py[s, t - 1]),   p[0, 0] = 0

    Args:
        px: (B, S, T + 1) of the step from (s, t) to (s + 1, t), minus infinity for none.
        py: (B, S + 1, T) of the step from (s, t) to (s, t + 1), likewise.
        boundary: (B, 4), the columns 0, 0, S_b and T_b, as in k2.
        return_grad: must be true; the packages return posteriors only then.

    Returns:
        (B,) and the posteriors (B, S, T + 1) and (B, S + 1, T), of px's type.
    """
    assert return_grad
    num_frames = py.shape[2]
    diagonals = py.shape[1] + num_frames  # S + T + 1
    label, blank = _skewed(px, diagonals), _skewed(py, diagonals)
    ends = boundary[:, 2] + boundary[:, 3]
    at_end = torch.nn.functional.one_hot(boundary[:, 2], py.shape[1]).bool()
    forward = _forward(label, blank)
    total = forward[ends, torch.arange(len(px), device=px.device), boundary[:, 2]]
    backward = _backward(label, blank, ends, at_end)
    # The node that a step leads to is on the next anti-diagonal.
    after = torch.cat([backward[1:], torch.full_like(backward[:1], -torch.inf)])
    before = forward - total[:, None]
    px_grad = _straight((before[..., :-1] + label + after[..., 1:]).exp(), num_frames + 1)
    return total, (px_grad, _straight((before + blank + after).exp(), num_frames))


def _forward(label: Tensor, blank: Tensor) -> Tensor:
    """(S + T + 1, B, S + 1): log of the sum over the paths to each node, by anti-diagonal."""
    alphas = [torch.full_like(blank[0], -torch.inf)]
    alphas[0][:, 0] = 0
    for before in range(len(blank) - 1):
        alpha = alphas[-1] + blank[before]
        step = alphas[-1][:, :-1] + label[before]
        alphas.append(torch.cat([alpha[:, :1], torch.logaddexp(alpha[:, 1:], step)], dim=1))
    return torch.stack(alphas)


def _backward(label: Tensor, blank: Tensor, ends: Tensor, at_end: Tensor) -> Tensor:
    """(S + T + 1, B, S + 1): log of the sum over the paths from each node to its utterance's end.

    `ends` (B,) is the anti-diagonal of the last node, `at_end` (B, S + 1) is true at
    its place there.
    """
    beta = torch.full_like(blank[0], -torch.inf)
    betas = []
    for diagonal in reversed(range(len(blank))):
        step = beta[:, 1:] + label[diagonal]
        beta = beta + blank[diagonal]
        beta = torch.cat([torch.logaddexp(beta[:, :-1], step), beta[:, -1:]], dim=1)
        beta = beta.masked_fill(at_end & (ends == diagonal)[:, None], 0)
        betas.append(beta)
    return torch.stack(betas[::-1])


def _skewed(steps: Tensor, diagonals: int) -> Tensor:
    """(B, rows, frames) of nodes (s, t) -> (diagonals, B, rows) by s + t, else minus infinity."""
    _, rows, frames = steps.shape
    row = torch.arange(rows, device=steps.device)
    frame = torch.arange(diagonals, device=steps.device)[:, None] - row
    outside = (frame < 0) | (frame >= frames)
    skewed = steps[:, row, frame.clamp(0, frames - 1)].masked_fill(outside, -torch.inf)
    return skewed.transpose(0, 1)


def _straight(skewed: Tensor, frames: int) -> Tensor:
    """(diagonals, B, rows) -> (B, rows, frames), the inverse of `_skewed`."""
    row = torch.arange(skewed.shape[2], device=skewed.device)[:, None]
    frame = torch.arange(frames, device=skewed.device)
    return skewed[row + frame, :, row].permute(2, 0, 1)
