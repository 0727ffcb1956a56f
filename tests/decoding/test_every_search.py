"""What holds for every search that this project wrote itself, however it works."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icefall_sampled.decoding import (
    GreedySearch,
    Hypothesis,
    ModifiedBeamSearch,
    TimeSyncBeamSearch,
    beam_search,
    greedy,
    modified_beam,
    time_sync_beam,
)
from tests.decoding.searches import (
    PREDICTORS,
    random_frames,
    random_model,
    same_lists,
    some_classes,
)

LENGTHS, V = [7, 4, 1, 5], 12

Search = Callable[..., list[list[Hypothesis]]]


def greedy_lists(*arguments: object, **options: object) -> list[list[Hypothesis]]:
    return [[best] for best in greedy(*arguments, **options)]


SEARCHES: dict[str, tuple[Search, dict[str, int]]] = {
    "greedy": (greedy_lists, {"max_symbols": 3}),
    "beam": (beam_search, {"beam": 4, "max_symbols": 3}),
    "time_sync_beam": (time_sync_beam, {"beam": 4, "max_symbols": 3}),
    "modified_beam": (modified_beam, {"beam": 4}),
}
IN_PIECES = {
    "greedy": GreedySearch,
    "time_sync_beam": TimeSyncBeamSearch,
    "modified_beam": ModifiedBeamSearch,
}


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize("k", [None, 5])
def test_batched_equals_one_by_one(method: str, kind: str, k: int | None) -> None:
    search, options = SEARCHES[method]
    model = random_model(kind)
    out, lengths = random_frames(LENGTHS)
    allowed = None if k is None else some_classes(4, k)
    together = search(model, out, lengths, allowed=allowed, **options)
    for n, best in enumerate(together):
        rows = slice(n, n + 1)
        alone = search(
            model, out[rows, : LENGTHS[n]], lengths[rows],
            allowed=None if allowed is None else allowed[rows], **options,
        )  # fmt: skip
        assert same_lists(best, alone[0])


@pytest.mark.parametrize("method", IN_PIECES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), pieces=st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_in_pieces_it_is_the_same_as_at_once(method: str, seed: int, pieces: list[int]) -> None:
    search, options = SEARCHES[method]
    model = random_model("lstm", seed=seed)
    lengths = torch.tensor([sum(pieces), sum(pieces[1:])])
    out, _ = random_frames([int(lengths[0]) + 1] * 2, seed=seed)
    allowed = some_classes(2, 6, seed=seed)
    whole = search(model, out, lengths, allowed=allowed, **options)
    by_pieces = IN_PIECES[method](model, 2, **options)
    done = torch.zeros(2, dtype=torch.int64)
    for i, piece in enumerate(pieces):
        rows = [out[n, done[n] : done[n] + piece] for n in range(2)]
        new = torch.tensor([piece, piece if i else 0])
        by_pieces.advance(torch.stack(rows), new, allowed=allowed)
        done += new
    assert all(same_lists(a, b) for a, b in zip(by_pieces.results(), whole, strict=True))


@pytest.mark.parametrize("method", SEARCHES)
def test_all_classes_allowed_is_no_constraint(method: str) -> None:
    search, options = SEARCHES[method]
    model = random_model()
    out, lengths = random_frames(LENGTHS)
    free = search(model, out, lengths, **options)
    bound = search(model, out, lengths, allowed=some_classes(4, V), **options)
    assert all(same_lists(a, b) for a, b in zip(bound, free, strict=True))


@pytest.mark.parametrize("method", SEARCHES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, V))
def test_nothing_outside_the_allowed_set_is_emitted(method: str, seed: int, k: int) -> None:
    search, options = SEARCHES[method]
    most = options.get("max_symbols", 1)
    model = random_model("stateless", seed=seed, blank=0.0)
    out, lengths = random_frames([4, 2], seed=seed)
    allowed = some_classes(2, k, seed=seed)
    for n, best in enumerate(search(model, out, lengths, allowed=allowed, **options)):
        for hypothesis in best:
            assert set(hypothesis.tokens) <= set(allowed[n].tolist()) - {0}
            assert hypothesis.frames == sorted(hypothesis.frames)
            if method != "beam":  # in Graves' a sequence may come to more by its prefixes
                assert all(hypothesis.frames.count(t) <= most for t in range(4))


@pytest.mark.parametrize("method", ["beam", "time_sync_beam", "modified_beam"])
def test_of_equal_hypotheses_the_shorter_and_then_the_lower_label_comes_first(method: str) -> None:
    search, options = SEARCHES[method]
    model = random_model(vocab_size=5)
    with torch.no_grad():
        model.joiner.output.weight.zero_()
        model.joiner.output.bias.zero_()
    out, lengths = random_frames([1])
    best = search(model, out, lengths, length_norm=False, **options)[0]
    assert [h.tokens for h in best] == [[], [1], [2], [3]]
    silent = greedy(model, out, lengths)
    assert silent[0].tokens == []


@pytest.mark.parametrize("method", SEARCHES)
def test_no_frames_at_all(method: str) -> None:
    search, options = SEARCHES[method]
    model = random_model()
    found = search(model, torch.zeros(2, 0, 16).double(), torch.tensor([0, 0]), **options)
    assert [[(h.tokens, h.log_prob) for h in best] for best in found] == [[([], 0.0)]] * 2


@pytest.mark.parametrize("method", SEARCHES)
def test_bad_arguments_are_named(method: str) -> None:
    search, options = SEARCHES[method]
    model = random_model()
    out, lengths = random_frames(LENGTHS)
    for name in options:
        with pytest.raises(ValueError, match=f"{name} is 0, it must be at least 1"):
            search(model, out, lengths, **{**options, name: 0})
    if method in ("time_sync_beam", "modified_beam"):
        with pytest.raises(ValueError, match=r"max_gap is 0.0, it must be positive"):
            search(model, out, lengths, max_gap=0.0)
    with pytest.raises(ValueError, match="allowed has 3 rows, it must have one for each of 4"):
        search(model, out, lengths, allowed=torch.zeros(3, 1, dtype=torch.int64), **options)
