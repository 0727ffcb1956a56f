"""Fast beam search against all alignments there are, and the constraint as its decoding graph."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.config import PredictorConfig, SearchConfig
from icefall_sampled.decoding import Hypothesis, fast_beam
from icefall_sampled.decoding.blank_skip import skip_blanks
from icefall_sampled.decoding.search import search
from icefall_sampled.decoding.searches.best_paths import Arc, best_paths
from icefall_sampled.losses.lattice import BACKEND
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.sampling import mean_posterior, top_k
from tests.decoding.searches import Nodes, random_frames, some_classes
from tests.support.tiny import tiny_config, tiny_model

VOCAB_SIZE, LENGTHS = 6, [4, 2, 0, 5, 1]
WIDE = {"beam": 10_000, "max_gap": math.inf, "length_norm": False}  # nothing is pruned

needs_k2 = pytest.mark.skipif(BACKEND != "k2", reason="k2 cannot be imported here")


def stateless_model(*, seed: int = 0, context: int = 2, blank: float = 1.0) -> Transducer:
    """A random model in float64; `blank` is how much it likes silence."""
    predictor = PredictorConfig(
        kind="stateless", embedding_width=8, hidden_width=16, context_labels=context
    )
    config = replace(tiny_config(), predictor=predictor)
    model = tiny_model(config, vocab_size=VOCAB_SIZE, seed=seed, scale=3.0).double()
    with torch.no_grad():
        model.joiner.output.bias[0] += blank
    return model


def exhaustive(model: Transducer, frames: Tensor, *, classes: list[int]) -> list[Hypothesis]:
    """The best alignment of every label sequence, the best first: all alignments are tried."""
    nodes, best = Nodes(model, frames, classes), dict[tuple[int, ...], Hypothesis]()
    for alignment in product(classes, repeat=len(frames)):
        found = Hypothesis()
        for t, label in enumerate(alignment):
            score = nodes.log_probs(t, tuple(found.tokens))[label]
            found.log_prob += score
            if label != 0:
                found.tokens.append(label)
                found.frames.append(t)
                found.token_log_probs.append(score)
        known = best.get(tuple(found.tokens))
        if known is None or found.log_prob > known.log_prob:
            best[tuple(found.tokens)] = found
    return sorted(best.values(), key=lambda h: -h.log_prob)


def assert_same(actual: list[Hypothesis], expected: list[Hypothesis]) -> None:
    """To the digits of float32, in which k2 computes."""
    assert [(h.tokens, h.frames) for h in actual] == [(h.tokens, h.frames) for h in expected]
    for a, e in zip(actual, expected, strict=True):
        assert a.log_prob == pytest.approx(e.log_prob, rel=1e-5, abs=1e-5)
        assert a.token_log_probs == pytest.approx(e.token_log_probs, rel=1e-5, abs=1e-5)


@needs_k2
@pytest.mark.parametrize("context", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_wide_search_finds_the_best_of_all_alignments(context: int, seed: int) -> None:
    model = stateless_model(seed=seed, context=context, blank=0.0)
    out, lengths = random_frames(LENGTHS, seed=seed)
    found = fast_beam(model, out, lengths, nbest=5, **WIDE)
    for n, best in enumerate(found):
        expected = exhaustive(model, out[n, : LENGTHS[n]], classes=list(range(VOCAB_SIZE)))
        assert_same(best, expected[:5])
    assert sum(len(h.tokens) for best in found for h in best) > 20
    assert [len(best) for best in found] == [5, 5, 1, 5, 5]


@needs_k2
@pytest.mark.parametrize("nbest", [1, 3, 9])
def test_the_most_probable_ones_are_put_in_order_by_nats_a_label(nbest: int) -> None:
    model = stateless_model(seed=1, blank=2.0)
    out, lengths = random_frames([12, 9, 20, 15])
    # The contexts that are kept are the same, and of these lattices it is the four best.
    narrow = {"beam": 4, "max_gap": math.inf}
    found = fast_beam(model, out, lengths, **narrow, nbest=nbest)
    plain = fast_beam(model, out, lengths, **narrow, nbest=9, length_norm=False)
    assert [len(likely) for likely in plain] == [4] * 4
    for best, likely in zip(found, plain, strict=True):
        assert best == sorted(likely, key=lambda h: -h.log_prob / (len(h.tokens) + 1))[:nbest]
    assert found != [likely[:nbest] for likely in plain]


@needs_k2
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, VOCAB_SIZE))
def test_constrained_search_is_the_best_within_its_set(seed: int, k: int) -> None:
    model = stateless_model(seed=seed, blank=0.0)
    out, lengths = random_frames([4, 3, 0], seed=seed)
    allowed = some_classes(3, k, vocab_size=VOCAB_SIZE, seed=seed)
    for n, best in enumerate(fast_beam(model, out, lengths, allowed=allowed, nbest=2, **WIDE)):
        assert {label for h in best for label in h.tokens} <= set(allowed[n].tolist()) - {0}
        expected = exhaustive(model, out[n, : int(lengths[n])], classes=allowed[n].tolist())
        assert_same(best, expected[:2])


@needs_k2
@pytest.mark.parametrize("limits", [{}, {"beam": 2}, {"max_gap": 0.5}])
@pytest.mark.parametrize("constrained", [False, True])
def test_batched_equals_one_by_one(limits: dict[str, float], constrained: bool) -> None:
    model = stateless_model()
    out, lengths = random_frames([9, 0, 4, 12, 1])
    allowed = some_classes(5, 4, vocab_size=VOCAB_SIZE) if constrained else None
    together = fast_beam(model, out, lengths, allowed=allowed, nbest=3, **limits)
    for n, best in enumerate(together):
        rows = slice(n, n + 1)
        alone = fast_beam(
            model, out[rows, : int(lengths[n])], lengths[rows],
            allowed=None if allowed is None else allowed[rows], nbest=3, **limits,
        )  # fmt: skip
        assert_same(best, alone[0])
    first = fast_beam(model, out, lengths, allowed=allowed, **limits)
    assert [best[:1] for best in together] == first


@needs_k2
def test_all_classes_allowed_is_no_constraint() -> None:
    model = stateless_model()
    out, lengths = random_frames([9, 4, 12])
    allowed = some_classes(3, VOCAB_SIZE, vocab_size=VOCAB_SIZE)
    free = fast_beam(model, out, lengths, nbest=4)
    for best, expected in zip(
        fast_beam(model, out, lengths, allowed=allowed, nbest=4), free, strict=True
    ):
        assert_same(best, expected)


@needs_k2
def test_a_narrow_search_is_worse_but_never_wrong() -> None:
    model = stateless_model(blank=0.0)
    out, lengths = random_frames([12, 10, 8, 11, 9])
    wide = fast_beam(model, out, lengths, **WIDE)
    for limits in ({"beam": 1}, {"max_gap": 1e-6}):
        narrow = fast_beam(model, out, lengths, **limits)
        pairs = list(zip(narrow, wide, strict=True))
        assert all(n[0].log_prob <= w[0].log_prob + 1e-6 for n, w in pairs)
        assert any(n[0].log_prob < w[0].log_prob - 0.1 for n, w in pairs)


@needs_k2
def test_of_equal_alignments_the_lower_labels_win() -> None:
    model = stateless_model()
    out, lengths = random_frames([3, 2])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert [best[0].tokens for best in fast_beam(model, out, lengths, **WIDE)] == [[], []]
    allowed = torch.tensor([[0, 5, 3], [0, 2, 4]])
    with torch.no_grad():
        model.joiner.output.bias[0] = -3.0
    found = fast_beam(model, out, lengths, allowed=allowed, **WIDE)
    assert [best[0].tokens for best in found] == [[3, 3, 3], [2, 2]]


@needs_k2
def test_search_gives_it_the_constraint_and_leaves_out_frames_of_blank() -> None:
    model = stateless_model(blank=0.0)
    out, lengths = random_frames([9, 4, 12, 1])
    encoded = Encoded(out, lengths, [])
    config = SearchConfig(
        method="fast_beam", beam=3, max_gap=5.0, nbest=2, ctc_top_k=4, blank_skip=0.5
    )
    allowed = top_k(mean_posterior(model.ctc_log_probs(encoded), encoded.lengths), 4)
    blank = model.ctc_log_probs(encoded)[..., 0]
    kept = skip_blanks(out, lengths, blank, threshold=0.5)
    assert 0 < int(kept.lengths.sum()) < int(lengths.sum())
    expected = fast_beam(
        model, kept.encoder_out, kept.lengths, allowed=allowed, beam=3, max_gap=5.0, nbest=2
    )
    for n, best in enumerate(search(model, encoded, config)):
        assert_same(best, [kept.in_time(n, hypothesis) for hypothesis in expected[n]])


@needs_k2
def test_no_frames_and_no_utterances() -> None:
    model = stateless_model()
    assert fast_beam(model, *random_frames([0, 0])) == [[Hypothesis()], [Hypothesis()]]
    assert fast_beam(model, torch.zeros(0, 3, 16).double(), torch.zeros(0).long()) == []


@needs_k2
def test_bad_arguments_are_named() -> None:
    model = stateless_model()
    out, lengths = random_frames(LENGTHS)
    for wrong, message in (
        ({"max_gap": 0.0}, "max_gap is 0.0, it must be positive"),
        ({"beam": 0}, "beam is 0, it must be at least 1"),
        ({"nbest": 0}, "nbest is 0, it must be at least 1"),
        ({"allowed": torch.zeros(3, 1).long()}, "allowed has 3 rows, it must have one for each of"),
        ({"allowed": torch.ones(5, 2).long()}, r"allowed must be \(N, K\) with blank \(0\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fast_beam(model, out, lengths, **wrong)
    with pytest.raises(ValueError, match="context_labels is 20, it must be less for fast_beam amo"):
        fast_beam(stateless_model(context=20), out, lengths)


def test_an_lstm_is_refused() -> None:
    model = tiny_model(vocab_size=VOCAB_SIZE).double()
    with pytest.raises(
        ValueError, match="fast_beam, which needs a predictor .* has a LstmPredictor"
    ):
        fast_beam(model, *random_frames(LENGTHS))


@pytest.mark.skipif(BACKEND == "k2", reason="k2 is here")
def test_without_k2_it_says_where_k2_is() -> None:
    with pytest.raises(
        ImportError, match=r"fast_beam, which needs k2, .* shared/setup_env.sh"
    ) as e:
        fast_beam(stateless_model(), *random_frames(LENGTHS))
    assert "\n" not in str(e.value)


def test_best_paths_of_a_lattice() -> None:
    """Three frames, of which the last leads to the end; blank and label 1 meet again in state 3."""
    arcs = [
        Arc(0, 1, 0, -1.0), Arc(0, 2, 1, -1.0),
        Arc(1, 3, 1, -1.0), Arc(1, 4, 2, -3.0),
        Arc(2, 3, 0, -1.0), Arc(2, 4, 2, -0.5),
        Arc(3, 5, -1, 0.0),
        Arc(4, 5, -1, 0.0),
    ]  # fmt: skip
    best = best_paths(arcs, count=9, names=[0, 10, 20])
    assert [(h.tokens, h.frames, h.log_prob) for h in best] == [
        ([10, 20], [0, 1], -1.5), ([10], [1], -2.0), ([20], [1], -4.0),
    ]  # fmt: skip
    assert best[0].token_log_probs == [-1.0, -0.5]
    assert best_paths(arcs, count=2, names=[0, 10, 20]) == best[:2]
    assert [h.tokens for h in best_paths(arcs, count=1)] == [[1, 2]]
