"""The one way into every search: constraint, blank skip and n-best lists are alike for all."""

from __future__ import annotations

import pytest
import torch

from icefall_sampled.config import CtcConfig, SearchConfig
from icefall_sampled.decoding import Hypothesis, beam_search, greedy, modified_beam, time_sync_beam
from icefall_sampled.decoding.blank_skip import skip_blanks
from icefall_sampled.decoding.search import search
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.sampling import mean_posterior, top_k
from tests.decoding.searches import random_frames, random_model, same_lists
from tests.support.tiny import changed, tiny_config, tiny_model

LENGTHS = [9, 4, 1, 7]
METHODS = ("greedy", "beam", "time_sync_beam", "modified_beam")


def case(blank: float = 1.0) -> tuple[Transducer, Encoded]:
    model = random_model(blank=blank)
    out, lengths = random_frames(LENGTHS)
    return model, Encoded(out, lengths, [])


def test_each_method_is_its_function() -> None:
    model, encoded = case()
    expected = {
        "greedy": [[h] for h in greedy(model, encoded.out, encoded.lengths, max_symbols=2)],
        "beam": beam_search(model, encoded.out, encoded.lengths, beam=3, max_symbols=2),
        "time_sync_beam": time_sync_beam(
            model, encoded.out, encoded.lengths, beam=3, max_symbols=2
        ),
        "modified_beam": modified_beam(model, encoded.out, encoded.lengths, beam=3),
    }
    for method, lists in expected.items():
        config = SearchConfig(method=method, beam=3, max_symbols=2, max_gap=1e9, nbest=3)
        found = search(model, encoded, config)
        assert all(same_lists(a, b) for a, b in zip(found, lists, strict=True))
        best = search(model, encoded, SearchConfig(method=method, beam=3, max_symbols=2))
        assert all(same_lists(a, b[:1]) for a, b in zip(best, lists, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_the_constraint_is_of_the_mean_posterior(method: str) -> None:
    model, encoded = case(blank=0.0)
    posterior = mean_posterior(model.ctc_log_probs(encoded), encoded.lengths)
    for k in (3, 12):
        found = search(model, encoded, SearchConfig(method=method, beam=3, ctc_top_k=k))
        for best, classes in zip(found, top_k(posterior, k).tolist(), strict=True):
            assert {token for h in best for token in h.tokens} <= set(classes) - {0}
    free = search(model, encoded, SearchConfig(method=method, beam=3))
    assert all(same_lists(a, b) for a, b in zip(found, free, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_blank_skip_decodes_the_other_frames_alone(method: str) -> None:
    model, encoded = case(blank=0.0)
    assert model.ctc is not None
    with torch.no_grad():
        model.ctc.output.weight *= 3
        blank = model.ctc_log_probs(encoded)[..., 0].exp()
    threshold = 0.1
    kept = [
        [t for t in range(length) if blank[n, t] <= threshold] for n, length in enumerate(LENGTHS)
    ]
    assert 0 < sum(map(len, kept)) < sum(LENGTHS) and min(map(len, kept)) < 2
    config = SearchConfig(method=method, beam=3, max_symbols=2, blank_skip=threshold)
    for n, best in enumerate(search(model, encoded, config)):
        rest = Encoded(encoded.out[n, kept[n]][None], torch.tensor([len(kept[n])]), [])
        alone = search(model, rest, SearchConfig(method=method, beam=3, max_symbols=2))[0]
        for a, b in zip(best, alone, strict=True):
            assert a.tokens == b.tokens and a.log_prob == pytest.approx(b.log_prob)
            assert a.frames == [kept[n][t] for t in b.frames]


@pytest.mark.parametrize("method", METHODS)
def test_an_utterance_without_frames_says_nothing_under_a_constraint_too(method: str) -> None:
    model, encoded = case(blank=0.0)
    config = SearchConfig(method=method, beam=3, ctc_top_k=4, blank_skip=0.9)
    expected = search(model, encoded, config)
    lengths = torch.tensor([*LENGTHS[:2], 0, LENGTHS[3]])
    encoded.out[2] = float("nan")  # padding alone
    found = search(model, Encoded(encoded.out, lengths, []), config)
    assert [(h.tokens, h.log_prob) for h in found[2]] == [([], 0.0)]
    assert all(same_lists(found[n], expected[n]) for n in (0, 1, 3))
    none = search(model, Encoded(encoded.out[:2, :0], torch.tensor([0, 0]), []), config)
    assert [h.tokens for best in none for h in best] == [[], []]


@pytest.mark.skipif(not hasattr(torch, "set_default_device"), reason="torch 2")
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_made_on_another_device_than_the_models(method: str) -> None:
    """A tensor made without naming a device is, here, on one that no computation is done on."""
    model, encoded = case(blank=0.0)
    config = SearchConfig(method=method, beam=3, ctc_top_k=4, blank_skip=0.9, nbest=2)
    expected = search(model, encoded, config)
    torch.set_default_device("meta")
    try:
        found = search(model, encoded, config)
    finally:
        torch.set_default_device("cpu")
    assert all(same_lists(a, b) for a, b in zip(found, expected, strict=True))


def test_skipped_frames_move_together() -> None:
    out = torch.arange(8.0).view(2, 4, 1)
    out[1, 3] = float("nan")  # padding
    blank = torch.tensor([[0.9, 0.1, 0.95, 0.2], [0.99, 0.99, 0.91, 0.0]]).log()
    kept = skip_blanks(out, torch.tensor([4, 3]), blank, threshold=0.9)
    assert kept.lengths.tolist() == [3, 0]
    assert kept.encoder_out[0, :, 0].tolist() == [0.0, 1.0, 3.0]
    assert bool(torch.isfinite(kept.encoder_out).all())
    assert kept.in_time(0, Hypothesis(tokens=[5, 6], frames=[1, 2])).frames == [1, 3]
    whole = skip_blanks(out, torch.tensor([4, 3]), blank, threshold=1.0)
    assert whole.lengths.tolist() == [4, 3]
    for threshold in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold is .*, it must be above 0 and at most 1"):
            skip_blanks(out, torch.tensor([4, 3]), blank, threshold=threshold)


def test_confidence_is_the_geometric_mean_of_the_labels() -> None:
    spoken = Hypothesis([3, 4], [0, 1], [-0.2, -0.4], log_prob=-5.0)
    assert spoken.confidence == pytest.approx(torch.tensor(-0.3).exp().item())
    silent = Hypothesis(log_prob=-0.7)
    assert silent.confidence == pytest.approx(torch.tensor(-0.7).exp().item())


@pytest.mark.parametrize("method", METHODS)
def test_labels_carry_their_probabilities(method: str) -> None:
    model, encoded = case()
    for best in search(model, encoded, SearchConfig(method=method, beam=3, nbest=3)):
        for hypothesis in best:
            assert len(hypothesis.tokens) == len(hypothesis.token_log_probs)
            assert all(value <= 0 for value in hypothesis.token_log_probs)
            assert 0 < hypothesis.confidence <= 1


def test_bad_settings_are_named() -> None:
    for wrong, message in (
        ({"beam": 0}, "beam is 0, it must be at least 1"),
        ({"max_gap": 0.0}, "max_gap is 0.0, it must be positive"),
        ({"ctc_top_k": -1}, "ctc_top_k is -1, it must be 0 or a number of classes"),
        ({"blank_skip": 0.0}, "blank_skip is 0.0, it must be above 0 and at most 1"),
        ({"max_symbols": 0}, "max_symbols is 0, it must be at least 1"),
        ({"nbest": 0}, "nbest is 0, it must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            SearchConfig(**wrong).validate()
    SearchConfig().validate()


@pytest.mark.parametrize("setting", [{"ctc_top_k": 3}, {"blank_skip": 0.9}])
def test_constraint_and_blank_skip_need_a_ctc_head(setting: dict) -> None:
    without = changed(tiny_config(), sampling={"distribution": "uniform"})
    model = tiny_model(changed(without, ctc=vars(CtcConfig(joint_weight=0.0))))
    out, lengths = random_frames(LENGTHS)
    with pytest.raises(ValueError, match="ctc_top_k and blank_skip need a CTC head"):
        search(model, Encoded(out.float(), lengths, []), SearchConfig(**setting))
