"""Predictors stepped label by label do what they do on the whole sequence."""

from __future__ import annotations

import pytest
import torch

from icefall_sampled.config import PredictorConfig
from icefall_sampled.modeling.predictor import make_predictor

CONFIGS = [
    PredictorConfig(kind="lstm", embedding_width=6, hidden_width=5, num_layers=1),
    PredictorConfig(kind="lstm", embedding_width=6, hidden_width=5, num_layers=2),
    PredictorConfig(kind="stateless", embedding_width=6, hidden_width=5, context_labels=1),
    PredictorConfig(kind="stateless", embedding_width=6, hidden_width=5, context_labels=2),
    PredictorConfig(kind="stateless", embedding_width=6, hidden_width=5, context_labels=4),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_steps_equal_the_whole_sequence(config: PredictorConfig) -> None:
    predictor = make_predictor(config, vocab_size=9).eval()
    history = torch.randint(1, 9, (3, 6))
    history[:, 0] = 0
    whole = predictor(history)
    assert whole.shape == (3, 6, predictor.width)
    state = predictor.initial_state(3, torch.device("cpu"))
    for u in range(6):
        out, state = predictor.step(history[:, u], state)
        assert state.shape[0] == 3
        torch.testing.assert_close(out, whole[:, u])


@pytest.mark.parametrize("config", CONFIGS)
def test_a_state_is_picked_by_its_first_dimension(config: PredictorConfig) -> None:
    predictor = make_predictor(config, vocab_size=9).eval()
    first, second = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6])
    _, state = predictor.step(first, predictor.initial_state(3, torch.device("cpu")))
    order = torch.tensor([2, 0])
    picked, _ = predictor.step(second[order], state[order])
    everything, _ = predictor.step(second, state)
    torch.testing.assert_close(picked, everything[order])


def test_stateless_predictor_forgets_all_but_its_context() -> None:
    predictor = make_predictor(CONFIGS[3], vocab_size=9).eval()
    a, b = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 5, 2, 3]])
    out_a, out_b = predictor(a), predictor(b)
    torch.testing.assert_close(out_a[:, 3], out_b[:, 3])
    assert not torch.allclose(out_a[:, 2], out_b[:, 2])
