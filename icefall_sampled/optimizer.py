"""AdamW and its learning rate."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from icefall_sampled.config import OptimizerConfig
from icefall_sampled.errors import UserError

FACTOR = "factor"
"""The key of a parameter group that multiplies its learning rate; any optimizer may have it."""


def make_adamw(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW, with weight decay on matrices and not on vectors (biases, normalisation).

    Raises:
        ValueError: where a pattern of `factors` matches no weight that is trained.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    unused = set(config.factors)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        pattern = next((p for p in config.factors if matches(name, p)), None)
        unused.discard(pattern or "")
        factor = 1.0 if pattern is None else config.factors[pattern]
        groups.setdefault((parameter.ndim > 1, factor), []).append(parameter)
    if unused:
        raise UserError(f"optimizer.factors has {min(unused)!r}, it must match a trained weight")
    rows: list[dict[str, Any]] = [
        {"params": params, "weight_decay": config.weight_decay if decays else 0.0, FACTOR: factor}
        for (decays, factor), params in groups.items()
    ]
    return torch.optim.AdamW(rows, lr=0.0, betas=config.betas, eps=1e-8)


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern with * and ? matches the whole name of a weight of a model."""
    return fnmatchcase(name.removeprefix("model."), pattern)


def learning_rate(config: OptimizerConfig, step: int, max_steps: int) -> float:
    """The learning rate of a step (counted from 1): linear warm-up, then the schedule."""
    warmup = config.warmup_steps
    if step <= warmup:
        return config.learning_rate * step / warmup
    if config.schedule == "noam":
        return config.learning_rate * math.sqrt(warmup / step)
    progress = min(1.0, (step - warmup) / max(1, max_steps - warmup))
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, step: int, max_steps: int
) -> None:
    """Set the learning rate of a step in all groups, times their factors."""
    rate = learning_rate(config, step, max_steps)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(FACTOR, 1.0)
