"""AdamW and its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from icefall_sampled.config import OptimizerConfig


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW, with weight decay on matrices and not on vectors (biases, normalisation)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, eps=1e-8)


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
    """Set the learning rate of a step in all groups."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step, max_steps)
