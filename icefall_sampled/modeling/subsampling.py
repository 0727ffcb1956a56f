"""Convolutions that shorten the input before the Conformer blocks."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

Length = TypeVar("Length", int, Tensor)

# (kernel, stride) of each convolution, by the factor that they reach together.
STAGES = {4: ((3, 2), (3, 2)), 6: ((3, 2), (5, 3)), 8: ((3, 2), (3, 2), (3, 2))}


def subsampled_lengths(lengths: Length, factor: int) -> Length:
    """Encoder frames that come of `lengths` input frames (an int or a tensor)."""
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


class Subsampling(nn.Module):
    """Unpadded 2-D convolutions with ReLU, then a linear layer to the model's width.

    An output frame depends on input frames of its own utterance alone: nothing of the padding
    reaches the frames that `subsampled_lengths` counts.
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


def padding_mask(lengths: Tensor, max_length: int) -> Tensor:
    """(N,) -> (N, max_length), true where there is only padding."""
    return torch.arange(max_length, device=lengths.device) >= lengths[:, None]
