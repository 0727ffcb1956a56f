"""Time-synchronous beam search against the plain one, and against all sequences there are."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

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


class Bigrams:
    """A language model of three classes; a state holds the labels that it has been told."""

    log_probs = torch.tensor([[0.1, 0.3, 0.6], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4]]).double().log()

    def initial_state(self, num: int, device: torch.device) -> Tensor:
        return torch.zeros(num, 1, device=device)

    def step(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_probs[labels], state + 1


@pytest.mark.parametrize("kind", PREDICTORS)
def test_shallow_fusion_orders_every_sequence(kind: str) -> None:
    """The language model counts in the order, and not in the log-probability."""
    model, weight = random_model(kind, vocab_size=3, seed=5, blank=3.0), 0.7
    out, lengths = random_frames([3, 2])
    options = {"beam": 1100, "max_symbols": 3, "length_norm": False}
    fused = time_sync_beam(model, out, lengths, lm=Bigrams(), lm_weight=weight, **options)
    plain = time_sync_beam(model, out, lengths, **options)
    for n, best in enumerate(fused):
        nodes = Nodes(model, out[n], [0, 1, 2])
        totals = total_of_every_sequence(nodes, int(lengths[n]), max_symbols=3)
        assert {tuple(h.tokens): h.log_prob for h in best} == pytest.approx(totals)
        ranks = [
            h.log_prob
            + weight * sum(float(Bigrams.log_probs[pair]) for pair in pairwise([0, *h.tokens]))
            for h in best
        ]
        assert all(later <= rank + 1e-9 for rank, later in pairwise(ranks))
        assert [h.tokens for h in best] != [h.tokens for h in plain[n]]
