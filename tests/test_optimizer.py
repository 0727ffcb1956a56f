"""Learning rates at the steps that matter, and which weights decay."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from icefall_sampled.config import OptimizerConfig
from icefall_sampled.optimizer import learning_rate, make_adamw, set_learning_rate

NOAM = OptimizerConfig(learning_rate=2.0, schedule="noam", warmup_steps=100)
COSINE = OptimizerConfig(learning_rate=2.0, schedule="cosine", warmup_steps=100)


@pytest.mark.parametrize("config", [NOAM, COSINE])
def test_warm_up_rises_linearly_to_the_peak(config: OptimizerConfig) -> None:
    assert learning_rate(config, 1, 1000) == pytest.approx(0.02)
    assert learning_rate(config, 50, 1000) == pytest.approx(1.0)
    assert learning_rate(config, 100, 1000) == pytest.approx(2.0)


def test_noam_falls_with_the_square_root() -> None:
    assert learning_rate(NOAM, 400, 1000) == pytest.approx(1.0)
    assert learning_rate(NOAM, 10_000, 1000) == pytest.approx(0.2)


def test_cosine_falls_to_zero() -> None:
    assert learning_rate(COSINE, 325, 1000) == pytest.approx(1.0 + math.cos(math.pi / 4))
    assert learning_rate(COSINE, 550, 1000) == pytest.approx(1.0)
    assert learning_rate(COSINE, 1000, 1000) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(COSINE, 1200, 1000) == pytest.approx(0.0, abs=1e-12)


def test_a_warm_up_longer_than_the_run_is_only_a_warm_up() -> None:
    assert learning_rate(COSINE, 50, 50) == pytest.approx(1.0)


def test_weight_decay_is_for_matrices() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    config = OptimizerConfig(learning_rate=0.5, weight_decay=0.1, warmup_steps=1)
    optimizer = make_adamw(model, config)
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    set_learning_rate(optimizer, config, 1, 10)
    optimizer.step()
    for old, new in zip(before, model.parameters(), strict=True):
        expected = old * (1 - 0.5 * 0.1) if old.ndim > 1 else old
        torch.testing.assert_close(new.detach(), expected)
