"""Modified beam search against the plain one, and against all sequences there are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from icefall_sampled.decoding import Hypothesis, greedy, modified_beam
from tests.decoding.searches import (
    PREDICTORS,
    Nodes,
    alignment_log_prob,
    plain_modified_beam,
    random_frames,
    random_model,
    same_lists,
    some_classes,
    total_of_every_sequence,
)

LENGTHS, V = [9, 4, 1, 7], 12


def tokens_and_total(best: list[Hypothesis]) -> list[tuple[tuple[int, ...], float]]:
    return [(tuple(h.tokens), h.log_prob) for h in best]


@pytest.mark.parametrize("kind", PREDICTORS)
@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("k", [None, 4])
def test_it_is_the_plain_one(kind: str, beam: int, k: int | None) -> None:
    for seed in range(3):
        model = random_model(kind, seed=seed)
        out, lengths = random_frames(LENGTHS, seed=seed)
        allowed = None if k is None else some_classes(4, k, seed=seed)
        found = modified_beam(model, out, lengths, allowed=allowed, beam=beam, length_norm=False)
        for n, best in enumerate(found):
            classes = list(range(V)) if allowed is None else allowed[n].tolist()
            nodes = Nodes(model, out[n], classes)
            expected = plain_modified_beam(nodes, LENGTHS[n], beam=beam)
            assert [labels for labels, _ in tokens_and_total(best)] == [x for x, _ in expected]
            assert [h.log_prob for h in best] == pytest.approx([total for _, total in expected])
            for hypothesis in best:
                one = alignment_log_prob(nodes, hypothesis, LENGTHS[n], blank_after_labels=False)
                assert one <= hypothesis.log_prob + 1e-9


@pytest.mark.parametrize("kind", PREDICTORS)
def test_a_beam_for_everything_finds_every_sequence(kind: str) -> None:
    model = random_model(kind, vocab_size=3, seed=5)
    out, lengths = random_frames([4, 3])
    found = modified_beam(model, out, lengths, beam=40, length_norm=False)
    for n, best in enumerate(found):
        nodes = Nodes(model, out[n], [0, 1, 2])
        expected = total_of_every_sequence(nodes, int(lengths[n]), max_symbols=1)
        assert dict(tokens_and_total(best)) == pytest.approx(expected)
        assert sum(map(math.exp, expected.values())) == pytest.approx(1.0)
        assert best[0].log_prob == pytest.approx(max(expected.values()))


@pytest.mark.parametrize("kind", PREDICTORS)
def test_beam_one_is_greedy_with_one_label_a_frame(kind: str) -> None:
    for seed in range(5):
        model = random_model(kind, seed=seed)
        out, lengths = random_frames(LENGTHS, seed=seed)
        expected = greedy(model, out, lengths, max_symbols=1)
        found = modified_beam(model, out, lengths, beam=1)
        # Greedy goes on to the blank after a label; here the label takes the whole frame.
        assert [h[0].tokens for h in found] != [[]] * 4
        for best, hypothesis in zip(found, expected, strict=True):
            assert (best[0].tokens, best[0].frames) == (hypothesis.tokens, hypothesis.frames)
            assert best[0].log_prob == pytest.approx(hypothesis.log_prob)


def test_the_final_order_is_by_nats_a_label() -> None:
    model = random_model(blank=3.0)
    out, lengths = random_frames(LENGTHS)
    changed = 0
    for raw, normed in zip(
        modified_beam(model, out, lengths, beam=6, length_norm=False),
        modified_beam(model, out, lengths, beam=6),
        strict=True,
    ):
        expected = sorted(raw, key=lambda h: -h.log_prob / (len(h.tokens) + 1))
        assert same_lists(normed, expected)
        changed += [h.tokens for h in raw] != [h.tokens for h in normed]
    assert changed


def test_what_is_far_behind_is_dropped() -> None:
    model = random_model(blank=0.0)
    out, lengths = random_frames(LENGTHS)
    wide = modified_beam(model, out, lengths, beam=6, length_norm=False)
    narrow = modified_beam(model, out, lengths, beam=6, max_gap=0.7, length_norm=False)
    assert sum(map(len, narrow)) < sum(map(len, wide))
    for best in narrow:
        assert best[0].log_prob - best[-1].log_prob <= 0.7
    endless = modified_beam(model, out, lengths, beam=6, max_gap=1e9, length_norm=False)
    assert all(same_lists(a, b) for a, b in zip(endless, wide, strict=True))


class Liking:
    """A language model that likes one label after each other one."""

    def initial_state(self, num: int, device: torch.device) -> Tensor:
        return torch.zeros(num, 1, device=device)

    def step(self, labels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.zeros(len(labels), V, dtype=torch.float64, device=labels.device)
        scores[torch.arange(len(labels)), labels % (V - 1) + 1] = 3.0
        return scores.log_softmax(dim=1), state + 1


@pytest.mark.parametrize("k", [None, 6])
def test_shallow_fusion_adds_the_language_model(k: int | None) -> None:
    model, lm = random_model(), Liking()
    out, lengths = random_frames(LENGTHS)
    allowed = None if k is None else some_classes(4, k)
    fused = modified_beam(
        model, out, lengths, beam=50, allowed=allowed, lm=lm, lm_weight=0.8, length_norm=False
    )
    for n, best in enumerate(fused):
        classes = list(range(V)) if allowed is None else allowed[n].tolist()
        expected = dict(plain_modified_beam(Nodes(model, out[n], classes), LENGTHS[n], beam=50))

        def score(hypothesis: Hypothesis) -> float:
            history = torch.tensor([[0, *hypothesis.tokens]])
            steps = [lm.step(x[None], torch.zeros(1, 1))[0][0] for x in history[0, :-1]]
            liked = sum(float(s[x]) for s, x in zip(steps, hypothesis.tokens, strict=True))
            return hypothesis.log_prob + 0.8 * liked

        ranks = [score(h) for h in best]
        assert ranks == sorted(ranks, reverse=True)
        if LENGTHS[n] == 1:  # nothing pruned yet: the acoustic part is that without the LM
            for hypothesis in best:
                assert hypothesis.log_prob == pytest.approx(expected[tuple(hypothesis.tokens)])
    plain = modified_beam(model, out, lengths, beam=50, allowed=allowed)
    assert [b[0].tokens for b in fused] != [b[0].tokens for b in plain]
    none = modified_beam(model, out, lengths, beam=4, allowed=allowed, lm=lm, lm_weight=0.0)
    without = modified_beam(model, out, lengths, beam=4, allowed=allowed)
    assert all(same_lists(a, b) for a, b in zip(none, without, strict=True))
