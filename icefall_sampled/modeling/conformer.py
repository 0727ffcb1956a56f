"""Conformer encoder (Gulati et al. 2020): macaron feed-forward, relative attention, convolution.

Shapes: N batch, T encoder frames, D width, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from icefall_sampled.config import EncoderConfig
from icefall_sampled.modeling.subsampling import FeatureNorm, Subsampling, padding_mask


def relative_positions(num_frames: int, width: int, *, like: Tensor) -> Tensor:
    """Sinusoids of the distances T - 1, ..., 0, ..., -(T - 1): (2 T - 1, D)."""
    distance = torch.arange(num_frames - 1, -num_frames, -1.0, device=like.device)
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

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        """(N, T, D), (2 T - 1, D), (N, T) -> (N, T, D)."""
        N, T, D = x.shape
        qkv = self.query_key_value(self.norm(x)).view(N, T, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (N, H, T, D / H)
        by_content = (query + self.content_bias) @ key.transpose(-1, -2)
        by_position = _shift(self._by_distance(query + self.position_bias, positions))
        scores = (by_content + by_position) / math.sqrt(D // self.num_heads)
        scores = scores.masked_fill(padding[:, None, None], torch.finfo(scores.dtype).min)
        mixed = self.dropout(scores.softmax(-1)) @ value
        return self.dropout(self.out(mixed.transpose(1, 2).reshape(N, T, D)))

    def _by_distance(self, query: Tensor, positions: Tensor) -> Tensor:
        """(N, H, T, D / H), (2 T - 1, D) -> (N, H, T, 2 T - 1).

        The batch is folded into the rows of one product for each head: broadcasting the
        positions over N would copy them, and sum their gradient, N times.
        """
        N, H, T, _ = query.shape
        position = self.position(positions).view(2 * T - 1, H, -1).permute(1, 2, 0)
        scores = torch.bmm(query.transpose(0, 1).reshape(H, N * T, -1), position)
        return scores.view(H, N, T, 2 * T - 1).transpose(0, 1)


def _shift(scores: Tensor) -> Tensor:
    """(N, H, T, 2 T - 1) by distance -> (N, H, T, T): entry (i, j) is the distance i - j."""
    N, H, T, P = scores.shape
    padded = nn.functional.pad(scores, (1, 0)).view(N, H, P + 1, T)
    return padded[:, :, 1:].reshape(N, H, T, P)[..., :T]


class Convolution(nn.Module):
    """Convolution module: gated pointwise, depthwise, batch norm, pointwise."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.batch_norm = nn.BatchNorm1d(width)
        self.contract = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """(N, T, D), (N, T) -> (N, T, D)."""
        gated = nn.functional.glu(self.expand(self.norm(x)), dim=-1)
        gated = gated.masked_fill(padding[..., None], 0.0)
        mixed = self.batch_norm(self.depthwise(gated.transpose(1, 2)))
        mixed = nn.functional.silu(mixed).transpose(1, 2)
        return self.dropout(self.contract(mixed))


class ConformerBlock(nn.Module):
    """One Conformer block."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, dropout = config.width, config.dropout
        self.feedforward_in = FeedForward(width, config.feedforward_width, dropout)
        self.attention = RelativeAttention(width, config.num_heads, dropout)
        self.convolution = Convolution(width, config.kernel_frames, dropout)
        self.feedforward_out = FeedForward(width, config.feedforward_width, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        """(N, T, D), (2 T - 1, D), (N, T) -> (N, T, D)."""
        x = x + 0.5 * self.feedforward_in(x)
        x = x + self.attention(x, positions, padding)
        x = x + self.convolution(x, padding)
        x = x + 0.5 * self.feedforward_out(x)
        out: Tensor = self.norm(x)
        return out


class Conformer(nn.Module):
    """Subsampling and a stack of Conformer blocks, with a tap after chosen blocks."""

    def __init__(self, config: EncoderConfig, *, taps: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.feature_norm = FeatureNorm(config.num_features)
        self.subsampling = Subsampling(
            num_features=config.num_features,
            channels=config.subsampling_channels,
            width=config.width,
            factor=config.subsampling,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(ConformerBlock(config) for _ in range(config.num_layers))
        self.taps = frozenset(taps)

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        *,
        tap: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a padded batch.

        Args:
            features: (N, frames, num_features); padding may hold anything, NaN included.
            lengths: (N,) input frames.
            tap: called as tap(x, lengths) with the (N, T, D) output of each block of `taps`;
                what it returns goes into the next block.

        Returns:
            (N, T, D) and (N,) encoder frames.
        """
        # A weight of zero does not stop a NaN: what is in the padding must not get any further.
        beyond = padding_mask(lengths, features.shape[1])
        features = features.masked_fill(beyond[:, :, None], 0.0)
        x, lengths = self.subsampling(self.feature_norm(features, lengths), lengths)
        x = self.dropout(x)
        positions = relative_positions(x.shape[1], x.shape[2], like=x)
        padding = padding_mask(lengths, x.shape[1])
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, positions, padding)
            if tap is not None and number in self.taps:
                x = tap(x, lengths)
        return x, lengths
