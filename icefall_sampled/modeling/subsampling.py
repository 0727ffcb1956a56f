"""Convolutions that shorten the input before the Conformer blocks."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from icefall_sampled.lengths import padding_mask

Length = TypeVar("Length", int, Tensor)

# (kernel, stride) of each convolution, by the total subsampling factor.
STAGES = {4: ((3, 2), (3, 2)), 6: ((3, 2), (5, 3)), 8: ((3, 2), (3, 2), (3, 2))}


def subsampled_lengths(lengths: Length, factor: int) -> Length:
    """Number of encoder frames from `lengths` input frames (an int or a tensor)."""
    result: Any = lengths
    for kernel, stride in STAGES[factor]:
        result = (result - kernel) // stride + 1
    return cast(Length, result)


def min_input_frames(factor: int) -> int:
    """The fewest input frames that give one encoder frame."""
    frames = 1
    for kernel, stride in reversed(STAGES[factor]):
        frames = (frames - 1) * stride + kernel
    return frames


class FeatureNorm(nn.Module):
    """Normalises each mel bin to mean 0 and variance 1, by statistics of all training so far.

    The statistics are part of the model, so they need no file of their own. They do not depend on
    the utterance that is normalised, so they suit streaming. All ranks share the same statistics.
    A model without statistics leaves features unchanged.
    """

    count: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self, num_features: int, *, gathers: bool = True) -> None:
        super().__init__()
        self.gathers = gathers
        """Whether training adds to the statistics; if it never does, features are left raw."""
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("total", torch.zeros(num_features, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(num_features, dtype=torch.float64))
        self.frozen = False
        """Whether this rank's next batch is a placeholder, which must not enter the statistics."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(N, frames, num_features), (N,) -> the same shape; training adds to the statistics."""
        if self.training and self.gathers:
            self._gather(features.detach(), lengths)
        mean = self.total / self.count.clamp(min=1)
        variance = self.squares / self.count.clamp(min=1) - mean * mean
        scale = variance.clamp(min=1e-5).rsqrt()
        normalised = (features - mean.to(features.dtype)) * scale.to(features.dtype)
        return torch.where(self.count > 0, normalised, features)

    def _gather(self, features: Tensor, lengths: Tensor) -> None:
        padding = padding_mask(lengths, features.shape[1])
        valid = features.masked_fill(padding[..., None], 0.0).double()
        total, squares = valid.sum(dim=(0, 1)), (valid * valid).sum(dim=(0, 1))
        sums = torch.cat([lengths.sum().double()[None], total, squares])
        if self.frozen:
            sums.zero_()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
        self.count += sums[0]
        self.total += sums[1 : 1 + len(total)]
        self.squares += sums[1 + len(total) :]


class Subsampling(nn.Module):
    """Unpadded 2-D convolutions with ReLU, then a linear layer to the model's width.

    An output frame depends only on input frames of its own utterance: padding does not affect
    the frames that `subsampled_lengths` counts.
    """

    def __init__(self, *, num_features: int, channels: int, width: int, factor: int) -> None:
        super().__init__()
        stages = STAGES[factor]
        layers: list[nn.Module] = []
        for i, (kernel, stride) in enumerate(stages):
            layers += [nn.Conv2d(channels if i else 1, channels, kernel, stride), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Linear(channels * subsampled_lengths(num_features, factor), width)
        self.factor = factor

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, frames, num_features), (N,) -> (N, T, width), (N,)."""
        maps = self.convolutions(features[:, None])  # (N, channels, T, bins)
        out = self.project(maps.transpose(1, 2).flatten(2))
        return out, subsampled_lengths(lengths, self.factor)
