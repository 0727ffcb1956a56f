"""A running mean of the weights during training, as icefall's `--use-averaged-model` has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class RunningMean:
    """The mean of a model's weights over the moments at which `add` was called, in float64.

    It is kept for all of training. The mean over a part of it is the difference of two: see
    `mean_between`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.count = 0
        self.weights = {
            name: torch.zeros_like(value, dtype=torch.float64)
            for name, value in model.state_dict().items()
            if value.is_floating_point()
        }

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        """Count the present weights in."""
        self.count += 1
        state = model.state_dict()
        for name, mean in self.weights.items():
            mean += (state[name].double() - mean) / self.count

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"count": self.count, "weights": self.weights}

    def load(self, state: dict[str, Any]) -> None:
        """Put the result of `state` back."""
        self.count = state["count"]
        for name, mean in self.weights.items():
            mean.copy_(state["weights"][name])


def mean_between(start: dict[str, Any] | None, end: dict[str, Any]) -> dict[str, Tensor]:
    """The mean of what was added after `start` (None: from the beginning) and up to `end`.

    Args:
        start: `RunningMean.state` of an earlier checkpoint.
        end: that of a later one.

    Raises:
        ValueError: where nothing was added in between.
    """
    before = 0 if start is None else start["count"]
    count = end["count"] - before
    if count <= 0:
        raise ValueError(f"{count} sets of weights were added in between, it must be at least 1")
    if start is None:
        return dict(end["weights"])
    return {
        name: (value * end["count"] - start["weights"][name] * before) / count
        for name, value in end["weights"].items()
    }
