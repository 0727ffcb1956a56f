"""Batched greedy decoding against the plainest way to write it, and its constraint."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.decoding import Hypothesis, OutputLayer, greedy
from icefall_sampled.modeling import Transducer
from icefall_sampled.sampling import top_k
from tests.decoding.searches import PREDICTORS, random_frames, random_model
from tests.support.tiny import tiny_config, tiny_model

VOCAB_SIZE, LENGTHS = 12, [9, 4, 1, 7]


@torch.no_grad()
def plain_greedy(
    model: Transducer, frames: Tensor, *, classes: list[int], max_symbols: int
) -> Hypothesis:
    """One utterance: at each node compute everything from scratch, and take the best class."""
    found = Hypothesis()
    for t in range(len(frames)):
        for _ in range(max_symbols):
            history = torch.tensor([[0, *found.tokens]])
            predicted = model.joiner.predictor_projection(model.predictor(history))[0, -1]
            acoustic = model.joiner.encoder_projection(frames[t])
            logits = model.joiner.output(torch.tanh(acoustic + predicted))[classes]
            best = int(logits.argmax())
            found.log_prob += float(logits.log_softmax(0)[best])
            if classes[best] == 0:
                break
            found.tokens.append(classes[best])
            found.frames.append(t)
    return found


def same(actual: Hypothesis, expected: Hypothesis) -> bool:
    close = actual.log_prob == pytest.approx(expected.log_prob, rel=1e-9, abs=1e-9)
    return (actual.tokens, actual.frames) == (expected.tokens, expected.frames) and bool(close)


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize("max_symbols", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_is_the_plain_one(kind: str, max_symbols: int, seed: int) -> None:
    model = random_model(kind, seed=seed)
    out, lengths = random_frames(LENGTHS)
    hypotheses = greedy(model, out, lengths, max_symbols=max_symbols)
    assert sum(len(h.tokens) for h in hypotheses) > 3
    for n, hypothesis in enumerate(hypotheses):
        expected = plain_greedy(
            model, out[n, : LENGTHS[n]], classes=list(range(VOCAB_SIZE)), max_symbols=max_symbols
        )
        assert same(hypothesis, expected)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(1, VOCAB_SIZE))
def test_nothing_outside_the_allowed_set_is_emitted(seed: int, k: int) -> None:
    model = random_model("stateless", seed=seed, blank=0.0)
    out, lengths = random_frames([5, 3], seed=seed)
    allowed = top_k(torch.rand(2, VOCAB_SIZE, dtype=torch.float64), k)
    for n, hypothesis in enumerate(greedy(model, out, lengths, allowed=allowed, max_symbols=2)):
        assert set(hypothesis.tokens) <= set(allowed[n].tolist()) - {0}
        expected = plain_greedy(
            model, out[n, : int(lengths[n])], classes=allowed[n].tolist(), max_symbols=2
        )
        assert same(hypothesis, expected)


@pytest.mark.parametrize("max_symbols", [1, 2, 5])
def test_max_symbols_at_one_frame(max_symbols: int) -> None:
    model = random_model(blank=-1e9)
    out, lengths = random_frames(LENGTHS)
    for hypothesis, length in zip(
        greedy(model, out, lengths, max_symbols=max_symbols), LENGTHS, strict=True
    ):
        assert hypothesis.frames == [t for t in range(length) for _ in range(max_symbols)]


def test_a_silent_utterance_has_no_labels() -> None:
    out, lengths = random_frames(LENGTHS)
    for hypothesis in greedy(random_model(blank=1e9), out, lengths):
        assert hypothesis.tokens == hypothesis.frames == []
        assert hypothesis.log_prob == pytest.approx(0.0)


def test_bad_arguments_are_named() -> None:
    model = random_model()
    out, lengths = random_frames(LENGTHS)
    with pytest.raises(ValueError, match="max_symbols is 0, it must be at least 1"):
        greedy(model, out, lengths, max_symbols=0)
    for allowed in (
        torch.tensor([0, 1]),
        torch.tensor([[0, 1], [1, 0], [0, 1], [0, 1]]),
        torch.zeros(4, 0, dtype=torch.int64),
    ):
        with pytest.raises(ValueError, match=r"allowed must be \(N, K\) with blank \(0\) in col"):
            OutputLayer(model.joiner, allowed)
    with pytest.raises(ValueError, match=r"allowed has 3 rows, it must have one for each of 4"):
        greedy(model, out, lengths, allowed=torch.zeros(3, 1, dtype=torch.int64))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_constrained_output_layer_is_rows_of_the_whole(activation: str) -> None:
    config = replace(tiny_config(), joiner=replace(tiny_config().joiner, activation=activation))
    joiner = tiny_model(config).double().joiner
    encoder, predictor = torch.randn(3, 16).double(), torch.randn(3, 16).double()
    allowed, rows = torch.tensor([[0, 5, 2], [0, 7, 11]]), torch.tensor([1, 0, 1])
    layer = OutputLayer(joiner, allowed)
    logits = joiner.output(joiner.hidden(encoder, predictor))
    expected = logits.gather(1, allowed[rows]).log_softmax(1)
    torch.testing.assert_close(layer.log_probs(encoder, predictor, rows), expected)
    assert layer.labels(torch.tensor([1, 1, 0]), rows).tolist() == [7, 5, 0]
    whole = OutputLayer(joiner)
    torch.testing.assert_close(whole.log_probs(encoder, predictor, rows), logits.log_softmax(1))
    assert whole.labels(torch.tensor([4, 1, 0]), rows).tolist() == [4, 1, 0]
