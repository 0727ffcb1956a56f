"""An encoder that is not ours, with nothing that is optional."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from icefall_sampled.config import Config, PartConfig
from icefall_sampled.modeling import Factories, Transducer
from tests.support.tiny import tiny_config


@dataclass(frozen=True, kw_only=True)
class StackConfig(PartConfig):
    """Frames side by side, then a linear layer."""

    width: int = 8
    factor: int = 4
    offset: int = 0
    """Input frames that are lost before the first."""
    raw: bool = False


class Stack(nn.Module):
    """The least that an encoder can be."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config, self.width = config, config.width
        self.min_input_frames = config.factor + config.offset
        self.raw_features = config.raw
        self.linear = nn.Linear(80 * config.factor, config.width)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return (lengths - self.config.offset) // self.config.factor

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.output_lengths(torch.tensor(features.shape[1])) * self.config.factor
        stacked = features[:, :kept].reshape(len(features), -1, 80 * self.config.factor)
        return self.linear(stacked), self.output_lengths(lengths)


def make_stack(config: StackConfig) -> Stack:
    return Stack(config)


STACK = Factories(encoder=make_stack)


def stack(**fields: int | bool) -> Stack:
    return Stack(StackConfig(**fields))  # type: ignore[arg-type]


def stacked_config(**fields: int | bool) -> Config:
    return replace(tiny_config(), encoder=StackConfig(**fields))  # type: ignore[arg-type]


def stacked_model(**fields: int | bool) -> Transducer:
    return STACK.model(stacked_config(**fields), 12)
