"""Time-synchronous beam search against the plain one, and against all sequences there are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icefall_sampled.decoding import TimeSyncBeamSearch, time_sync_beam
from tests.decoding.searches import (
    PREDICTORS,
    Nodes,
    alignment_log_prob,
    plain_time_sync_beam,
    random_frames,
    random_model,
    same_lists,
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


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize("k", [None, 5])
def test_batched_equals_one_by_one(kind: str, k: int | None) -> None:
    model = random_model(kind)
    out, lengths = random_frames(LENGTHS)
    allowed = None if k is None else some_classes(4, k)
    together = time_sync_beam(model, out, lengths, allowed=allowed, beam=4, max_symbols=3)
    for n, best in enumerate(together):
        rows = slice(n, n + 1)
        alone = time_sync_beam(
            model, out[rows, : LENGTHS[n]], lengths[rows], beam=4, max_symbols=3,
            allowed=None if allowed is None else allowed[rows],
        )  # fmt: skip
        assert same_lists(best, alone[0])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), pieces=st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_in_pieces_it_is_the_same_as_at_once(seed: int, pieces: list[int]) -> None:
    model = random_model("lstm", seed=seed)
    out, _ = random_frames([sum(pieces) + 1] * 2, seed=seed)
    lengths = torch.tensor([sum(pieces), sum(pieces[1:])])
    whole = time_sync_beam(model, out, lengths, beam=3, max_symbols=2)
    search = TimeSyncBeamSearch(model, 2, beam=3, max_symbols=2)
    done = torch.zeros(2, dtype=torch.int64)
    for i, piece in enumerate(pieces):
        new = torch.tensor([piece, piece if i else 0])
        search.advance(torch.stack([out[n, done[n] : done[n] + piece] for n in range(2)]), new)
        done += new
    assert all(same_lists(a, b) for a, b in zip(search.results(), whole, strict=True))


def test_all_classes_allowed_is_no_constraint() -> None:
    model = random_model()
    out, lengths = random_frames(LENGTHS)
    free = time_sync_beam(model, out, lengths, beam=4)
    bound = time_sync_beam(model, out, lengths, allowed=some_classes(4, V), beam=4)
    assert all(same_lists(a, b) for a, b in zip(bound, free, strict=True))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, V))
def test_nothing_outside_the_allowed_set_is_emitted(seed: int, k: int) -> None:
    model = random_model("stateless", seed=seed, blank=0.0)
    out, lengths = random_frames([4, 3], seed=seed)
    allowed = some_classes(2, k, seed=seed)
    found = time_sync_beam(model, out, lengths, allowed=allowed, beam=5, max_symbols=2)
    for n, best in enumerate(found):
        for hypothesis in best:
            assert set(hypothesis.tokens) <= set(allowed[n].tolist()) - {0}
            assert all(hypothesis.frames.count(t) <= 2 for t in range(4))


def test_of_equal_hypotheses_the_shorter_and_then_the_lower_label_comes_first() -> None:
    model = random_model(vocab_size=5)
    with torch.no_grad():
        model.joiner.output.weight.zero_()
        model.joiner.output.bias.zero_()
    out, lengths = random_frames([1])
    best = time_sync_beam(model, out, lengths, beam=4, length_norm=False)[0]
    assert [h.tokens for h in best] == [[], [1], [2], [3]]


def test_what_is_far_behind_is_dropped() -> None:
    model = random_model(blank=0.0)
    out, lengths = random_frames(LENGTHS)
    wide = time_sync_beam(model, out, lengths, beam=6, length_norm=False)
    narrow = time_sync_beam(model, out, lengths, beam=6, max_gap=0.7, length_norm=False)
    assert sum(map(len, narrow)) < sum(map(len, wide))
    for best in narrow:
        assert best[0].log_prob - best[-1].log_prob <= 0.7


def test_no_frames_at_all() -> None:
    model = random_model()
    found = time_sync_beam(model, torch.zeros(2, 0, 16).double(), torch.tensor([0, 0]))
    assert [[(h.tokens, h.log_prob) for h in best] for best in found] == [[([], 0.0)]] * 2


def test_bad_arguments_are_named() -> None:
    model = random_model()
    out, lengths = random_frames(LENGTHS)
    with pytest.raises(ValueError, match="beam is 0, it must be at least 1"):
        time_sync_beam(model, out, lengths, beam=0)
    with pytest.raises(ValueError, match="max_symbols is 0, it must be at least 1"):
        time_sync_beam(model, out, lengths, max_symbols=0)
