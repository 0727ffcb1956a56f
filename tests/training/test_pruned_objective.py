"""A model that is trained with k2's pruned loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from icefall_sampled.config import Config, LossConfig, PrunedLossConfig
from icefall_sampled.modeling.pruned import warmth
from icefall_sampled.training.objective import Losses, Objective
from tests.support.streaming import causal_config
from tests.support.tiny import PRUNED, changed, ragged_batch, tiny_config, tiny_model

LENGTHS, TARGET_LENGTHS = [70, 41, 60], [5, 2, 4]


def config_of(**pruned: Any) -> Config:
    loss = {"kind": "pruned", "pruned": PrunedLossConfig(**pruned)}
    return changed(changed(tiny_config(), **PRUNED), loss=loss)


def objective_of(config: Config) -> Objective:
    """In eval mode, with the weights of seed 0."""
    model = tiny_model(config)
    return Objective(model, config).eval()


def losses_of(objective: Objective, **options: Any) -> Losses:
    torch.manual_seed(0)
    losses: Losses = objective(*ragged_batch(LENGTHS, TARGET_LENGTHS), **options)
    return losses


@pytest.mark.parametrize(
    ("warm", "simple_weight", "pruned_weight"), [(0.0, 1.0, 0.1), (0.5, 0.7, 0.55), (1.0, 0.4, 1.0)]
)
def test_total_is_the_weighted_sum(warm: float, simple_weight: float, pruned_weight: float) -> None:
    losses = losses_of(objective_of(config_of(simple_weight=0.4)), warmth=warm)
    assert "simple" in losses.parts
    assert "transducer" in losses.parts
    assert "ctc" in losses.parts
    parts = losses.parts
    trained = simple_weight * parts["simple"] + pruned_weight * parts["transducer"]
    expected = trained + 0.3 * parts["ctc"]
    torch.testing.assert_close(losses.total, expected)
    assert losses.vocabulary is None


def test_wide_ranges_give_the_loss_of_the_full_softmax() -> None:
    wide = objective_of(config_of(range_labels=6))
    full = objective_of(changed(tiny_config(), sampling={"strategy": "none"}))
    expected, found = losses_of(full), losses_of(wide)
    assert full.simple is None
    assert "simple" not in expected.parts
    torch.testing.assert_close(found.parts["transducer"], expected.parts["transducer"])
    torch.testing.assert_close(found.parts["ctc"], expected.parts["ctc"])
    narrow = losses_of(objective_of(config_of(range_labels=2)))
    assert narrow.parts["transducer"] > found.parts["transducer"]


def test_other_models_have_no_weights_of_it() -> None:
    assert objective_of(tiny_config()).own_state() == {}
    pruned = objective_of(config_of())
    assert pruned.model.state_dict().keys() == tiny_model().state_dict().keys()
    assert set(pruned.own_state()) == {
        f"simple.{part}.{kind}" for part in ("encoder", "predictor") for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("with_transducer", [True, False])
@pytest.mark.parametrize("base", [tiny_config(), causal_config()])
def test_every_weight_gets_a_gradient(base: Config, with_transducer: bool) -> None:
    objective = objective_of(changed(base, **PRUNED)).train()
    losses = losses_of(objective, with_transducer=with_transducer)
    assert ("simple" in losses.parts) == ("transducer" in losses.parts) == with_transducer
    losses.total.backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("padding", [1e3, float("nan")])
def test_a_ragged_batch_is_the_mean_of_its_utterances(padding: float) -> None:
    objective = objective_of(config_of(range_labels=3))
    features, lengths, targets, target_lengths = ragged_batch(
        LENGTHS, TARGET_LENGTHS, padding=padding
    )
    together = objective(features, lengths, targets, target_lengths)
    alone = [
        objective(
            features[n : n + 1, : LENGTHS[n]], lengths[n : n + 1],
            targets[n : n + 1, : TARGET_LENGTHS[n]], target_lengths[n : n + 1],
        )
        for n in range(3)
    ]  # fmt: skip
    for name in ("transducer", "simple", "ctc"):
        mean = torch.stack([losses.parts[name] for losses in alone]).mean()
        torch.testing.assert_close(together.parts[name], mean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.0), (30, 0.0), (35, 0.25), (50, 1.0), (70, 1.0)]
)
def test_warm_up_begins_with_the_transducer(step: int, expected: float) -> None:
    loss = LossConfig(ctc_only_steps=30, pruned=PrunedLossConfig(warmup_steps=20))
    assert warmth(loss, step) == pytest.approx(expected)
    assert warmth(LossConfig(pruned=PrunedLossConfig(warmup_steps=0)), step) == 1.0
