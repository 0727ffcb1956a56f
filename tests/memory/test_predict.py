"""Predicted memory is within 10 % of what a real step allocates, in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from icefall_sampled.config import Config
from icefall_sampled.memory import Utterance, largest_batch, predict
from icefall_sampled.memory.footprint import Footprint, Line
from tests.memory.steps import error
from tests.support.tiny import changed, tiny_config

TOLERANCE = 0.10
FULL = {"strategy": "none", "distribution": "uniform"}
STORED = {"implementation": "naive"}


def small_config() -> Config:
    return changed(
        tiny_config(),
        encoder={"width": 64, "num_layers": 3, "feedforward_width": 128},
        predictor={"hidden_width": 64},
        joiner={"width": 64},
        sampling={"num_sampled": 50},
    )


VARIANTS: dict[str, dict[str, Any]] = {
    "sampled fused": {},
    "sampled stored": {"loss": STORED},
    "full fused": {"sampling": FULL},
    "full stored": {"sampling": FULL, "loss": STORED},
    "one set for the batch": {"sampling": {"strategy": "batch", "distribution": "uniform"}},
    "pruned": {"sampling": FULL, "loss": {"kind": "pruned"}},
    "no draft": {"loss": {"draft_negatives": 0}},
    "no CTC": {"sampling": FULL, "ctc": {"joint_weight": 0.0}},
    "InterCTC": {"ctc": {"intermediate_layers": (1, 2)}},
    "SC-CTC": {
        "ctc": {"intermediate_layers": (1, 2), "self_conditioning": True},
        "sampling": {"distribution": "interctc"},
    },
    "stateless": {"predictor": {"kind": "stateless"}},
    "relu": {"joiner": {"activation": "relu"}, "loss": STORED},
    "subsampling by six": {"encoder": {"subsampling": 6}},
    "streaming": {"encoder": {"causal": True, "chunk_frames": (4,), "left_context_frames": 8}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_small(name: str, small_chunks: None) -> None:
    config = changed(small_config(), **VARIANTS[name])
    assert abs(error(config, Utterance(4.0, 20), 5, vocab_size=300)) < TOLERANCE


@pytest.mark.parametrize("num", [1, 12])
def test_few_and_many(num: int, small_chunks: None) -> None:
    assert abs(error(small_config(), Utterance(4.0, 20), num, vocab_size=300)) < TOLERANCE


@pytest.mark.parametrize("labels", [2, 60, 120])
def test_pruned_with_few_and_with_many_labels(labels: int) -> None:
    config = changed(small_config(), sampling=FULL, loss={"kind": "pruned"})
    assert abs(error(config, Utterance(4.0, labels), 3, vocab_size=300)) < TOLERANCE


def test_large_vocabulary(small_chunks: None) -> None:
    # 9,000 classes are never tried: the prediction comes from 2,048 and 4,096.
    assert abs(error(small_config(), Utterance(4.0, 20), 4, vocab_size=9000)) < TOLERANCE


# The paper's sizes: Conformer-M, a predictor and a joiner of 640, V = 2,000, K = 300.
PAPER: dict[str, dict[str, Any]] = {
    "sampled fused": {},
    "sampled stored": {"loss": STORED},
    "full fused": {"sampling": FULL},
    "full stored": {"sampling": FULL, "loss": STORED},
    "SC-CTC": {"ctc": {"intermediate_layers": (5, 10), "self_conditioning": True}},
    "pruned": {"sampling": FULL, "loss": {"kind": "pruned"}},
    "no CTC": {"sampling": FULL, "ctc": {"joint_weight": 0.0}},
}


def test_paper_size() -> None:
    assert abs(error(Config(), Utterance(15.0, 55), 1, vocab_size=2000)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_paper_size_of_every_loss(name: str) -> None:
    config = changed(Config(), **PAPER[name])
    assert abs(error(config, Utterance(15.0, 55), 2, vocab_size=2000)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sampled fused", "sampled stored"])
def test_paper_size_of_a_large_batch(name: str) -> None:
    config = changed(Config(), **PAPER[name])
    assert abs(error(config, Utterance(8.0, 30), 8, vocab_size=2000)) < TOLERANCE


def test_accumulated_gradients_are_there_already() -> None:
    utterance = Utterance(4.0, 20)
    once = predict(small_config(), utterance, 300)
    twice = predict(changed(small_config(), optimizer={"accumulate": 2}), utterance, 300)
    parameters = once.peak(2)["parameters"]
    assert twice.peak(2)["gradients"] == pytest.approx(parameters)
    assert twice.total(2) - once.total(2) == pytest.approx(parameters, rel=0.1)


def test_largest_batch_is_the_last_that_fits() -> None:
    prediction = predict(small_config(), Utterance(4.0, 20), 300)
    room = prediction.total(7)
    assert largest_batch(prediction, room) == 7
    assert largest_batch(prediction, room - 0.01) == 6
    assert largest_batch(prediction, prediction.total(1) - 0.01) == 0


def test_stored_logits_cost_what_their_shape_says() -> None:
    # Kept: activations (N, T, U + 1, J) and log-probabilities (N, T, U + 1, V); T is 99.
    config = changed(small_config(), sampling=FULL, loss=STORED)
    lattice = predict(config, Utterance(4.0, 20), 300).stages[-1]
    assert lattice.line.each.kept == pytest.approx(4 * 99 * 21 * (64 + 300), rel=0.05)


def test_fused_keeps_sixteen_bytes_a_node() -> None:
    config = changed(small_config(), loss={"draft_negatives": 0})
    lattice = predict(config, Utterance(12.0, 80), 300).stages[-1]
    nodes, projections = 299 * 81, 4 * 64 * (299 + 81)
    assert lattice.line.each.kept == pytest.approx(16 * nodes + projections, rel=0.05)


def test_a_line_goes_on_beyond_its_ends() -> None:
    first = Line(Footprint(1.0, 2.0, 3.0), Footprint(1.0, 0.0, 0.0))
    second = Line(Footprint(2.0, 2.0, 5.0), Footprint(2.0, 1.0, 0.0))
    far = first.towards(second, 3.0)
    assert far == Line(Footprint(4.0, 2.0, 9.0), Footprint(4.0, 3.0, 0.0))
    assert far.at(2) == Footprint(12.0, 8.0, 9.0)


@pytest.mark.parametrize("utterance", [Utterance(0.05, 3), Utterance(4.0, 0)])
def test_what_is_no_utterance_is_refused(utterance: Utterance) -> None:
    with pytest.raises(ValueError, match=r"^utterance is "):
        predict(small_config(), utterance, 300)
