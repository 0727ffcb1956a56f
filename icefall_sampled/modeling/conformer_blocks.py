"""Conformer blocks (Gulati et al. 2020): macaron feed-forward, relative attention, convolution.

Attention and convolution look at other frames, so they have two methods: `forward` runs over whole
utterances, `advance` over the next Q frames of streams with a cache of P past frames.

Shapes: N batch, T encoder frames, D width, H heads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from icefall_sampled.config import ConformerConfig


def relative_positions(num_frames: int, width: int, *, like: Tensor, past: int = 0) -> Tensor:
    """Sinusoids of the distances P + T - 1, ..., 0, ..., -(T - 1): (P + 2 T - 1, D)."""
    distance = torch.arange(past + num_frames - 1, -num_frames, -1.0, device=like.device)
    exponent = torch.arange(0, width, 2, device=like.device) / width
    rate = torch.pow(10000.0, -exponent)
    angle = distance[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(like.dtype)


class FeedForward(nn.Sequential):
    """Pre-norm feed-forward module; a block adds half of its output."""

    def __init__(self, width: int, inner_width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, inner_width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(inner_width, width),
            nn.Dropout(dropout),
        )


class RelativeAttention(nn.Module):
    """Multi-head self-attention with relative positions (Dai et al. 2019, Section 3.3)."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.position = nn.Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(num_heads, 1, width // num_heads))
        self.position_bias = nn.Parameter(torch.zeros(num_heads, 1, width // num_heads))
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, positions: Tensor, padding: Tensor, hidden: Tensor | None = None
    ) -> Tensor:
        """Attend over whole utterances.

        Args:
            x: (N, T, D).
            positions: (2 T - 1, D).
            padding: (N, T).
            hidden: (N, 1, T, T), true where a frame must not attend, padding included; None
                masks the padding alone.

        Returns:
            (N, T, D).
        """
        hidden = padding[:, None, None] if hidden is None else hidden
        return self._attend(*self._projected(x), positions, hidden)

    def advance(
        self, x: Tensor, positions: Tensor, hidden: Tensor, past: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attend over the next frames of streams and those before them.

        Args:
            x: (N, Q, D).
            positions: (P + 2 Q - 1, D).
            hidden: (N, 1, 1, P + Q), true at frames that must not be attended to.
            past: (N, 2, H, P, D / H) keys and values of the past frames.

        Returns:
            (N, Q, D), and the keys and values of all frames, (N, 2, H, P + Q, D / H).
        """
        query, key, value = self._projected(x)
        seen = torch.cat([past, torch.stack([key, value], dim=1)], dim=3)
        return self._attend(query, seen[:, 0], seen[:, 1], positions, hidden), seen

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, D) -> query, key and value, each (N, H, T, D / H)."""
        N, T, _ = x.shape
        qkv = self.query_key_value(self.norm(x)).view(N, T, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor, hidden: Tensor
    ) -> Tensor:
        """Q queries over P + Q keys -> (N, Q, D)."""
        N, _, Q, size = query.shape
        by_content = (query + self.content_bias) @ key.transpose(-1, -2)
        by_position = _shift(self._by_distance(query + self.position_bias, positions))
        scores = (by_content + by_position) / math.sqrt(size)
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        mixed = self.dropout(scores.softmax(-1)) @ value
        return self.dropout(self.out(mixed.transpose(1, 2).reshape(N, Q, -1)))

    def _by_distance(self, query: Tensor, positions: Tensor) -> Tensor:
        """(N, H, Q, D / H), (P + 2 Q - 1, D) -> (N, H, Q, P + 2 Q - 1).

        The batch is folded into the rows of one product for each head: broadcasting the
        positions over N would copy them, and sum their gradient, N times.
        """
        N, H, Q, _ = query.shape
        position = self.position(positions).view(positions.shape[0], H, -1).permute(1, 2, 0)
        scores = torch.bmm(query.transpose(0, 1).reshape(H, N * Q, -1), position)
        return scores.view(H, N, Q, positions.shape[0]).transpose(0, 1)


def _shift(scores: Tensor) -> Tensor:
    """(N, H, Q, P + 2 Q - 1) by distance -> (N, H, Q, P + Q): entry (i, j) is at P + i - j."""
    N, H, Q, W = scores.shape
    padded = nn.functional.pad(scores, (1, 0)).view(N, H, W + 1, Q)
    return padded[:, :, 1:].reshape(N, H, Q, W)[..., : W - Q + 1]


class Convolution(nn.Module):
    """Convolution module: gated pointwise, depthwise, batch norm, pointwise.

    A causal kernel ends at the current frame; otherwise it is centred on it.
    """

    def __init__(self, width: int, kernel: int, dropout: float, *, causal: bool = False) -> None:
        super().__init__()
        self.past_frames = kernel - 1 if causal else 0
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        around = 0 if causal else kernel // 2
        self.depthwise = nn.Conv1d(width, width, kernel, padding=around, groups=width)
        self.batch_norm = nn.BatchNorm1d(width)
        self.contract = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """(N, T, D), (N, T) -> (N, T, D)."""
        gated = self._gated(x, padding)
        if self.past_frames:
            gated = nn.functional.pad(gated, (self.past_frames, 0))
        return self._mixed(gated)

    def advance(self, x: Tensor, padding: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(N, Q, D), (N, Q), (N, D, `past_frames`) -> (N, Q, D), and the past for the next call."""
        gated = torch.cat([past, self._gated(x, padding)], dim=2)
        return self._mixed(gated), gated[:, :, gated.shape[2] - self.past_frames :]

    def _gated(self, x: Tensor, padding: Tensor) -> Tensor:
        """(N, T, D), (N, T) -> (N, D, T), zero in the padding."""
        gated = nn.functional.glu(self.expand(self.norm(x)), dim=-1)
        return gated.masked_fill(padding[..., None], 0.0).transpose(1, 2)

    def _mixed(self, gated: Tensor) -> Tensor:
        mixed = nn.functional.silu(self.batch_norm(self.depthwise(gated))).transpose(1, 2)
        return self.dropout(self.contract(mixed))


class Past(NamedTuple):
    """A block's cache of the past frames of N streams."""

    attention: Tensor
    """(N, 2, H, P, D / H) keys and values, the latest last."""
    convolution: Tensor
    """(N, D, kernel - 1) inputs of the depthwise convolution, zero before the first frame."""


class ConformerBlock(nn.Module):
    """One Conformer block."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width, dropout = config.width, config.dropout
        self.feedforward_in = FeedForward(width, config.feedforward_width, dropout)
        self.attention = RelativeAttention(width, config.num_heads, dropout)
        self.convolution = Convolution(width, config.kernel_frames, dropout, causal=config.causal)
        self.feedforward_out = FeedForward(width, config.feedforward_width, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, positions: Tensor, padding: Tensor, hidden: Tensor | None = None
    ) -> Tensor:
        """(N, T, D) -> (N, T, D); the other arguments are those of `RelativeAttention`."""
        x = x + 0.5 * self.feedforward_in(x)
        x = x + self.attention(x, positions, padding, hidden)
        x = x + self.convolution(x, padding)
        x = x + 0.5 * self.feedforward_out(x)
        out: Tensor = self.norm(x)
        return out

    def advance(
        self, x: Tensor, positions: Tensor, padding: Tensor, hidden: Tensor, past: Past
    ) -> tuple[Tensor, Past]:
        """The next frames of streams: (N, Q, D), … -> (N, Q, D), past with these frames."""
        x = x + 0.5 * self.feedforward_in(x)
        attended, keys_values = self.attention.advance(x, positions, hidden, past.attention)
        x = x + attended
        convolved, inputs = self.convolution.advance(x, padding, past.convolution)
        x = x + convolved
        x = x + 0.5 * self.feedforward_out(x)
        return self.norm(x), Past(keys_values, inputs)
