"""Graves' beam search against his algorithm line by line, and against all sequences there are."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icefall_sampled.decoding import beam_search, greedy
from tests.decoding.searches import (
    PREDICTORS,
    Nodes,
    alignment_log_prob,
    plain_graves_beam,
    random_frames,
    random_model,
    same_lists,
    some_classes,
    total_of_every_sequence,
)

LENGTHS, V = [7, 4, 1, 5], 12


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize(("beam", "max_symbols"), [(1, 3), (2, 1), (4, 3), (4, 10)])
@pytest.mark.parametrize("k", [None, 4])
def test_it_is_the_algorithm(kind: str, beam: int, max_symbols: int, k: int | None) -> None:
    for seed in range(2):
        model = random_model(kind, seed=seed, blank=2.0)
        out, lengths = random_frames(LENGTHS, seed=seed)
        allowed = None if k is None else some_classes(4, k, seed=seed)
        found = beam_search(
            model, out, lengths, allowed=allowed, beam=beam, max_symbols=max_symbols,
            length_norm=False,
        )  # fmt: skip
        for n, best in enumerate(found):
            classes = list(range(V)) if allowed is None else allowed[n].tolist()
            nodes = Nodes(model, out[n], classes)
            expected = plain_graves_beam(nodes, LENGTHS[n], beam=beam, max_symbols=max_symbols)
            assert [tuple(h.tokens) for h in best] == [labels for labels, _ in expected]
            assert [h.log_prob for h in best] == pytest.approx([total for _, total in expected])
            for hypothesis in best:
                one = alignment_log_prob(nodes, hypothesis, LENGTHS[n], blank_after_labels=True)
                assert one <= hypothesis.log_prob + 1e-9


@pytest.mark.parametrize("kind", PREDICTORS)
def test_a_beam_for_everything_finds_every_sequence(kind: str) -> None:
    """Sequences of at most max_symbols labels get the sum over all of their alignments."""
    model = random_model(kind, vocab_size=3, seed=5, blank=3.0)
    out, lengths = random_frames([3, 2])
    found = beam_search(model, out, lengths, beam=2000, max_symbols=3, length_norm=False)
    for n, best in enumerate(found):
        nodes = Nodes(model, out[n], [0, 1, 2])
        every = total_of_every_sequence(nodes, int(lengths[n]), max_symbols=3)
        expected = {labels: total for labels, total in every.items() if len(labels) <= 3}
        actual = {tuple(h.tokens): h.log_prob for h in best if len(h.tokens) <= 3}
        assert len(expected) == 15 and actual == pytest.approx(expected)
        assert tuple(best[0].tokens) == max(every, key=lambda labels: every[labels])


def test_no_total_is_above_the_exact_one() -> None:
    model = random_model(vocab_size=3, seed=2, blank=4.0)
    out, lengths = random_frames([4])
    every = total_of_every_sequence(Nodes(model, out[0], [0, 1, 2]), 4, max_symbols=2)
    compared = 0
    for beam in (1, 2, 4):
        for hypothesis in beam_search(model, out, lengths, beam=beam, max_symbols=2)[0]:
            if len(hypothesis.tokens) <= 2:  # no alignment of it has more at a frame
                assert hypothesis.log_prob <= every[tuple(hypothesis.tokens)] + 1e-9
                compared += 1
    assert compared


@pytest.mark.parametrize("kind", PREDICTORS)
def test_beam_one_is_greedy_where_the_model_is_sure(kind: str) -> None:
    """Graves' beam of one may go back on a label that its blank makes less likely; greedy not."""
    compared = 0
    for seed in range(6):
        model = random_model(kind, seed=seed, blank=2.0)
        with torch.no_grad():
            model.joiner.output.weight *= 2000
            model.joiner.output.bias *= 2000
        out, lengths = random_frames([3] * 16, seed=seed)
        expected = greedy(model, out, lengths, max_symbols=6)
        found = beam_search(model, out, lengths, beam=1, max_symbols=6)
        for best, hypothesis in zip(found, expected, strict=True):
            most = max(Counter(hypothesis.frames).values(), default=0)
            if hypothesis.log_prob > -0.5 and 1 <= most < 6:  # after six, greedy needs no blank
                assert (best[0].tokens, best[0].frames) == (hypothesis.tokens, hypothesis.frames)
                compared += 1
    assert compared > 3


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize("k", [None, 5])
def test_batched_equals_one_by_one(kind: str, k: int | None) -> None:
    model = random_model(kind)
    out, lengths = random_frames(LENGTHS)
    allowed = None if k is None else some_classes(4, k)
    together = beam_search(model, out, lengths, allowed=allowed, beam=3)
    for n, best in enumerate(together):
        rows = slice(n, n + 1)
        alone = beam_search(
            model, out[rows, : LENGTHS[n]], lengths[rows], beam=3,
            allowed=None if allowed is None else allowed[rows],
        )  # fmt: skip
        assert same_lists(best, alone[0])


def test_all_classes_allowed_is_no_constraint() -> None:
    model = random_model()
    out, lengths = random_frames(LENGTHS)
    free = beam_search(model, out, lengths, beam=4)
    bound = beam_search(model, out, lengths, allowed=some_classes(4, V), beam=4)
    assert all(same_lists(a, b) for a, b in zip(bound, free, strict=True))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, V))
def test_nothing_outside_the_allowed_set_is_emitted(seed: int, k: int) -> None:
    model = random_model("stateless", seed=seed, blank=0.0)
    out, lengths = random_frames([3, 2], seed=seed)
    allowed = some_classes(2, k, seed=seed)
    found = beam_search(model, out, lengths, allowed=allowed, beam=4, max_symbols=2)
    for n, best in enumerate(found):
        for hypothesis in best:
            assert set(hypothesis.tokens) <= set(allowed[n].tolist()) - {0}
            assert hypothesis.frames == sorted(hypothesis.frames)


def test_of_equal_hypotheses_the_shorter_and_then_the_lower_label_comes_first() -> None:
    model = random_model(vocab_size=5)
    with torch.no_grad():
        model.joiner.output.weight.zero_()
        model.joiner.output.bias.zero_()
    out, lengths = random_frames([1])
    best = beam_search(model, out, lengths, beam=4, length_norm=False)[0]
    assert [h.tokens for h in best] == [[], [1], [2], [3]]


def test_no_frames_at_all() -> None:
    model = random_model()
    found = beam_search(model, torch.zeros(2, 0, 16).double(), torch.tensor([0, 0]))
    assert [[(h.tokens, h.log_prob) for h in best] for best in found] == [[([], 0.0)]] * 2


def test_bad_arguments_are_named() -> None:
    model = random_model()
    out, lengths = random_frames(LENGTHS)
    with pytest.raises(ValueError, match="beam is 0, it must be at least 1"):
        beam_search(model, out, lengths, beam=0)
    with pytest.raises(ValueError, match="max_symbols is 0, it must be at least 1"):
        beam_search(model, out, lengths, max_symbols=0)
    with pytest.raises(ValueError, match="allowed has 3 rows, it must have one for each of 4"):
        beam_search(model, out, lengths, allowed=torch.zeros(3, 1, dtype=torch.int64))
