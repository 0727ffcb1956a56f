"""Time-synchronous beam search against the plain one, and against all sequences there are."""

from __future__ import annotations

import pytest

from icefall_sampled.decoding import time_sync_beam
from tests.decoding.searches import (
    PREDICTORS,
    Nodes,
    alignment_log_prob,
    plain_time_sync_beam,
    random_frames,
    random_model,
    some_classes,
    total_of_every_sequence,
)

LENGTHS, V = [7, 4, 1, 5], 12


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize(("beam", "max_symbols"), [(1, 3), (2, 1), (4, 3)])
@pytest.mark.parametrize("k", [None, 4])
def test_it_is_the_plain_one(kind: str, beam: int, max_symbols: int, k: int | None) -> None:
    said = 0
    for seed in range(3):
        model = random_model(kind, seed=seed, blank=-2.0)
        out, lengths = random_frames(LENGTHS, seed=seed)
        allowed = None if k is None else some_classes(4, k, seed=seed)
        found = time_sync_beam(
            model, out, lengths, allowed=allowed, beam=beam, max_symbols=max_symbols,
            length_norm=False,
        )  # fmt: skip
        said += sum(len(best[0].tokens) for best in found)
        for n, best in enumerate(found):
            classes = list(range(V)) if allowed is None else allowed[n].tolist()
            nodes = Nodes(model, out[n], classes)
            expected = plain_time_sync_beam(nodes, LENGTHS[n], beam=beam, max_symbols=max_symbols)
            assert [tuple(h.tokens) for h in best] == [labels for labels, _ in expected]
            assert [h.log_prob for h in best] == pytest.approx([total for _, total in expected])
            for hypothesis in best:
                one = alignment_log_prob(nodes, hypothesis, LENGTHS[n], blank_after_labels=True)
                assert one <= hypothesis.log_prob + 1e-9
    assert said > 3 or beam == 1  # a label costs more than it brings, if none may follow


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize("max_symbols", [2, 3])
def test_a_beam_for_everything_finds_every_sequence(kind: str, max_symbols: int) -> None:
    model = random_model(kind, vocab_size=3, seed=5, blank=3.0)
    out, lengths = random_frames([3, 2])
    found = time_sync_beam(
        model, out, lengths, beam=1100, max_symbols=max_symbols, length_norm=False
    )
    for n, best in enumerate(found):
        nodes = Nodes(model, out[n], [0, 1, 2])
        expected = total_of_every_sequence(nodes, int(lengths[n]), max_symbols=max_symbols)
        assert {tuple(h.tokens): h.log_prob for h in best} == pytest.approx(expected)
        assert best[0].log_prob == pytest.approx(max(expected.values()))


def test_what_is_far_behind_is_dropped() -> None:
    model = random_model(blank=0.0)
    out, lengths = random_frames(LENGTHS)
    wide = time_sync_beam(model, out, lengths, beam=6, length_norm=False)
    narrow = time_sync_beam(model, out, lengths, beam=6, max_gap=0.7, length_norm=False)
    assert sum(map(len, narrow)) < sum(map(len, wide))
    for best in narrow:
        assert best[0].log_prob - best[-1].log_prob <= 0.7
