"""An encoder that is not the library's, with a config and a factory of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.config import PartConfig


@dataclass(frozen=True, kw_only=True)
class StridedConfig(PartConfig):
    width: int = 48
    stride: int = 4


class Strided(nn.Module):
    """A convolution and a GRU."""

    def __init__(self, config: StridedConfig) -> None:
        super().__init__()
        self.width, self.min_input_frames = config.width, config.stride
        self.convolution = nn.Conv1d(NUM_MEL_BINS, config.width, config.stride, config.stride)
        self.gru = nn.GRU(config.width, config.width, batch_first=True)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return torch.div(lengths, self.min_input_frames, rounding_mode="floor")

    def forward(self, features: Tensor, lengths: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        out = self.convolution(features.transpose(1, 2)).relu().transpose(1, 2)
        return self.gru(out)[0], self.output_lengths(lengths)


def make_strided(config: StridedConfig) -> Strided:
    return Strided(config)
