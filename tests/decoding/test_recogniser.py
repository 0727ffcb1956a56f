"""What is recognised in pieces is what is recognised in whole utterances."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.config import SearchConfig
from icefall_sampled.data.features import make_fbank
from icefall_sampled.data.online_features import OnlineFbank
from icefall_sampled.decoding.recogniser import StreamingRecogniser, begin_search
from icefall_sampled.decoding.search import search
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.modeling.context import Context
from icefall_sampled.sampling import mean_posterior, top_k
from icefall_sampled.tokens import BLANK
from tests.support.streaming import causal_config, pieces_of
from tests.support.tiny import PRUNED, changed, tiny_model

CONTEXT = Context(chunk_frames=3, left_context_frames=5)
LENGTHS = [90, 33, 66]


def model_of(**parts: dict[str, Any]) -> Transducer:
    """In float64; varied enough to emit every few frames, and to stop at blanks between."""
    model = tiny_model(changed(causal_config(), **parts), scale=3.0, seed=5).double()
    with torch.no_grad():
        model.joiner.output.bias[BLANK] += 1.0
    return model


MODELS = {
    "lstm": model_of(),
    "stateless": model_of(predictor={"kind": "stateless"}),
    "pruned": model_of(**PRUNED),
    "intermediate CTC alone": model_of(
        ctc={"joint_weight": 0.0, "intermediate_layers": (1,)},
        sampling={"distribution": "interctc"},
    ),
}


def recognised(
    model: Transducer, config: SearchConfig, features: Tensor, cuts: list[list[int]],
    context: Context = CONTEXT,
) -> list[list[Hypothesis]]:  # fmt: skip
    """N-best lists of streams that are heard in pieces, each ending with its last one."""
    recogniser = StreamingRecogniser(model, context, config, num=len(LENGTHS))
    pieces = [pieces_of(*both) for both in zip(LENGTHS, cuts, strict=True)]
    for i in range(max(map(len, pieces))):
        now = [p[i] if i < len(p) else (0, 0) for p in pieces]
        sizes = [end - start for start, end in now]
        piece = torch.zeros(len(LENGTHS), max(sizes), 80, dtype=features.dtype)
        for n, (start, end) in enumerate(now):
            piece[n, : end - start] = features[n, start:end]
        final = torch.tensor([i >= len(p) - 1 for p in pieces])
        recogniser.hear(piece, torch.tensor(sizes), final=final)
    return recogniser.results()


def encoded_whole(model: Transducer, features: Tensor, context: Context = CONTEXT) -> Encoded:
    with torch.no_grad():
        return model.encode(features, torch.tensor(LENGTHS), context=context)


def assert_same(actual: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [len(best) for best in actual] == [len(best) for best in expected]
    for a, b in zip(chain(*actual), chain(*expected), strict=True):
        assert (a.tokens, a.frames) == (b.tokens, b.frames)
        assert a.log_prob == pytest.approx(b.log_prob, abs=1e-8)
        assert a.token_log_probs == pytest.approx(b.token_log_probs, abs=1e-8)


GREEDY = SearchConfig()
BEAM = SearchConfig(method="modified_beam", beam=4, nbest=3)
TIME_SYNC = replace(BEAM, method="time_sync_beam", max_symbols=2)
CUTS = st.lists(st.lists(st.integers(0, 50), max_size=5), min_size=3, max_size=3)


@settings(max_examples=12)
@given(
    name=st.sampled_from(sorted(MODELS)),
    config=st.sampled_from([GREEDY, BEAM, TIME_SYNC]),
    skipping=st.booleans(),
    cuts=CUTS,
)
def test_pieces_are_recognised_as_the_whole(
    name: str, config: SearchConfig, skipping: bool, cuts: list[list[int]]
) -> None:
    model = MODELS[name]
    torch.manual_seed(6)  # of which every search makes words
    features = 2.0 * torch.randn(3, max(LENGTHS), 80, dtype=torch.float64)
    encoded = encoded_whole(model, features)
    if skipping:  # half of the frames of the first stream
        blank = model.ctc_log_probs(encoded)[0, :, BLANK].detach().exp()
        below, above = blank.sort().values[len(blank) // 2 :][:2].tolist()
        config = replace(config, blank_skip=(below + above) / 2)  # no frame hangs on rounding
    expected = search(model, encoded, config)
    assert any(best[0].tokens for best in expected)
    assert_same(recognised(model, config, features, cuts), expected)


def by_cumulative_posterior(
    model: Transducer, config: SearchConfig, features: Tensor
) -> list[list[Hypothesis]]:
    """Stream by stream: before each chunk, the best classes by the mean posterior up to its end."""
    encoded, found = encoded_whole(model, features), []
    for n, length in enumerate(encoded.lengths.tolist()):
        single = begin_search(model, 1, config)
        out = encoded.out[n : n + 1, :length]
        log_probs = model.ctc_log_probs(Encoded(out, torch.tensor([length]), []))
        for start in range(0, length, CONTEXT.chunk_frames):
            end = min(start + CONTEXT.chunk_frames, length)
            so_far = mean_posterior(log_probs[:, :end], torch.tensor([end]))
            single.advance(
                out[:, start:end], torch.tensor([end - start]),
                allowed=top_k(so_far, config.ctc_top_k),
            )  # fmt: skip
        found.append(single.results()[0][: config.nbest])
    return found


@pytest.mark.parametrize("config", [GREEDY, BEAM])
@pytest.mark.parametrize("cuts", [[[], [], []], [[50, 0, 11], [2] * 9, [40, 1, 1]]])
def test_the_constraint_comes_from_what_was_heard(
    config: SearchConfig, cuts: list[list[int]]
) -> None:
    model, config = MODELS["lstm"], replace(config, ctc_top_k=4)
    features = 2.0 * torch.randn(3, max(LENGTHS), 80, dtype=torch.float64)
    expected = by_cumulative_posterior(model, config, features)
    assert_same(recognised(model, config, features, cuts), expected)
    unconstrained = search(model, encoded_whole(model, features), replace(config, ctc_top_k=0))
    assert [b[0].tokens for b in expected] != [b[0].tokens for b in unconstrained]


def test_with_one_chunk_the_constraint_is_that_of_the_utterance() -> None:
    model, config = MODELS["lstm"], SearchConfig(ctc_top_k=4, blank_skip=1e-4)
    features = 2.0 * torch.randn(3, max(LENGTHS), 80, dtype=torch.float64)
    context = Context(chunk_frames=100)
    expected = search(model, encoded_whole(model, features, context), config)
    assert_same(recognised(model, config, features, [[7, 30], [], [1]], context), expected)


@pytest.mark.parametrize("config", [GREEDY, BEAM, TIME_SYNC])
def test_all_classes_allowed_is_no_constraint(config: SearchConfig) -> None:
    """Nor where labels are equally likely: the order of their posteriors decides nothing."""
    model = model_of()
    with torch.no_grad():
        model.joiner.output.weight[1:] = 0.0
        model.joiner.output.bias.zero_()
    features = 2.0 * torch.randn(3, max(LENGTHS), 80, dtype=torch.float64)
    expected = search(model, encoded_whole(model, features), config)
    assert any(best[0].tokens for best in expected)
    every = replace(config, ctc_top_k=model.vocab_size)
    assert_same(recognised(model, every, features, [[7, 30], [], [1]]), expected)


@pytest.mark.parametrize("config", [GREEDY, BEAM])
def test_partial_results_are_those_of_the_chunks_heard(config: SearchConfig) -> None:
    """And asking for them changes nothing."""
    model = MODELS["lstm"]
    features = 2.0 * torch.randn(1, 90, 80, dtype=torch.float64)
    recogniser = StreamingRecogniser(model, CONTEXT, config)
    encoded = encoded_whole(model, features.expand(3, -1, -1))
    for start in range(0, 90, 10):
        recogniser.hear(features[:, start : start + 10], torch.tensor([10]), final=start == 80)
        heard = torch.tensor(recogniser.done)
        partial = Encoded(encoded.out[:1, : int(heard)], heard, [])
        assert_same(recogniser.results(), search(model, partial, config))
    assert recogniser.done == encoded.lengths[:1].tolist()


@pytest.mark.parametrize("config", [GREEDY, BEAM])
def test_audio_in_pieces_is_recognised_as_the_whole(config: SearchConfig) -> None:
    model = tiny_model(causal_config(), scale=3.0, seed=5)
    samples = 0.2 * torch.randn(2 * SAMPLING_RATE)
    features = torch.from_numpy(make_fbank().extract(samples.numpy(), sampling_rate=SAMPLING_RATE))
    with torch.no_grad():
        encoded = model.encode(features[None], torch.tensor([len(features)]), context=CONTEXT)
    expected = search(model, encoded, config)[0]
    assert len(expected[0].tokens) > 5
    fbank, recogniser = OnlineFbank(), StreamingRecogniser(model, CONTEXT, config)
    for piece in samples.split(1777):
        frames = fbank.hear(piece)
        recogniser.hear(frames[None], torch.tensor([len(frames)]))
    frames = fbank.hear(samples[:0], final=True)
    recogniser.hear(frames[None], torch.tensor([len(frames)]), final=True)
    found = recogniser.results()[0]
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    assert found[0].log_prob == pytest.approx(expected[0].log_prob, rel=1e-3)


def test_a_search_that_looks_at_all_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="^method is beam, it must be greedy, modified_beam or"):
        StreamingRecogniser(MODELS["lstm"], CONTEXT, SearchConfig(method="beam"))
