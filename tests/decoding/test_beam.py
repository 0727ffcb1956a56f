"""Graves' beam search against his algorithm line by line, and against all sequences there are."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from icefall_sampled.decoding import beam_search, greedy
from tests.decoding.searches import (
    PREDICTORS,
    Nodes,
    alignment_log_prob,
    plain_graves_beam,
    random_frames,
    random_model,
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
