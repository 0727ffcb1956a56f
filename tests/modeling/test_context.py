"""Contexts: their masks, what training draws, the latency; and models of old as they were."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from icefall_sampled.config import ConformerConfig
from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.modeling.context import (
    Context,
    chunk_latency_ms,
    drawn_context,
    look_ahead_frames,
    widest_context,
)
from icefall_sampled.modeling.subsampling import STAGES
from tests.support.streaming import causal_config
from tests.support.tiny import changed, losses_of, plain, ragged_batch, tiny_config, tiny_model

CPU = torch.device("cpu")


@pytest.mark.parametrize(("chunk", "left"), itertools.product([1, 2, 3, 9, 20], [-1, 0, 1, 2, 5]))
def test_mask_is_that_of_its_definition(chunk: int, left: int) -> None:
    hidden = Context(chunk_frames=chunk, left_context_frames=left).hidden(9, CPU)
    assert hidden is not None
    for i, j in itertools.product(range(9), repeat=2):
        first = 0 if left < 0 else chunk * (i // chunk) - left
        seen = first <= j < chunk * (i // chunk + 1)
        assert bool(hidden[i, j]) != seen


def test_the_whole_utterance_hides_nothing() -> None:
    assert Context(left_context_frames=3).hidden(9, CPU) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chunk_frames": -1}, "^chunk_frames is -1, it must be positive, or 0 for the whole"),
        ({"left_context_frames": -2}, "^left_context_frames is -2, it must be at least 0, or -1"),
    ],
)
def test_what_is_no_context_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Context(**arguments)


def test_training_draws_every_chunk_and_repeats_its_draws() -> None:
    config = causal_config().encoder
    torch.manual_seed(3)
    drawn = [drawn_context(config) for _ in range(300)]
    counts = Counter(context.chunk_frames for context in drawn)
    assert set(counts) == {0, 2, 5}
    assert min(counts.values()) > 60
    assert {context.left_context_frames for context in drawn} == {6}
    torch.manual_seed(3)
    assert [drawn_context(config) for _ in range(300)] == drawn


@pytest.mark.parametrize("encoder", [{}, {"causal": True, "chunk_frames": (4,)}])
def test_one_context_costs_no_random_number(encoder: dict[str, Any]) -> None:
    config = ConformerConfig(**encoder)
    before = torch.get_rng_state()
    assert drawn_context(config).chunk_frames == (4 if encoder else 0)
    assert torch.equal(torch.get_rng_state(), before)


def losses_by_chunk(model: Transducer, seeds: int) -> set[int]:
    """How often each loss of a few passes came, rounded: dropout is off, so chunks alone differ."""
    batch = ragged_batch([60, 44], [3, 2])
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        found.append(round(1e4 * float(losses_of(model, *batch).total.detach())))
    return set(found)


def test_training_passes_use_what_is_drawn_and_others_the_widest() -> None:
    plain = {"encoder": {"dropout": 0.0}, "predictor": {"dropout": 0.0},
             "sampling": {"strategy": "none"}}  # fmt: skip
    model = tiny_model(changed(causal_config(), **plain), scale=2.0)
    features, lengths, _, _ = ragged_batch([60, 44], [3, 2])
    widest = model.encode(features, lengths)
    torch.testing.assert_close(widest.out, model.encode(features, lengths, context=Context()).out)
    assert len(losses_by_chunk(model, 12)) == 1
    for module in model.modules():
        module.training = not isinstance(module, torch.nn.BatchNorm1d)
    model.feature_norm.training = False
    assert len(losses_by_chunk(model, 12)) == 3


@pytest.mark.parametrize(("chunks", "widest"), [((), 0), ((8,), 8), ((16, 4), 16), ((16, 0, 4), 0)])
def test_widest_context(chunks: tuple[int, ...], widest: int) -> None:
    config = ConformerConfig(causal=bool(chunks), chunk_frames=chunks, left_context_frames=-1)
    assert widest_context(config) == Context(chunk_frames=widest)


@pytest.mark.parametrize("factor", STAGES)
def test_a_frame_looks_as_far_ahead_as_is_said(factor: int) -> None:
    """Of the audio: a change later than the latency changes nothing of the first chunk."""
    model = tiny_model(changed(causal_config(), encoder={"subsampling": factor}))
    config, chunk = model.config.encoder, 2
    last = chunk * factor + look_ahead_frames(config)  # input frames that the chunk needs
    assert chunk_latency_ms(config, chunk) == 10 * last + 7.5

    def first_chunk(changed_frame: int) -> Tensor:
        torch.manual_seed(0)
        features = torch.randn(1, last + 30, 80)
        features[:, changed_frame] += 5.0
        encoded: Encoded = model.encode(
            features, torch.tensor([last + 30]), context=Context(chunk_frames=chunk)
        )
        return encoded.out[:, :chunk]

    torch.testing.assert_close(first_chunk(last), first_chunk(last + 20))
    difference = first_chunk(last - 1) - first_chunk(last)
    assert float(difference.detach().abs().max()) > 1e-4


def test_padded_rows_stay_finite_where_a_window_is_all_padding() -> None:
    model = tiny_model(causal_config())
    features, lengths, _, _ = ragged_batch([90, 20], [1, 1], padding=float("nan"))
    encoded = model.encode(
        features, lengths, context=Context(chunk_frames=2, left_context_frames=0)
    )
    assert bool(torch.isfinite(encoded.out).all())
    alone = model.encode(
        features[1:, :20], lengths[1:], context=Context(chunk_frames=2, left_context_frames=0)
    )
    torch.testing.assert_close(encoded.out[1:, : alone.out.shape[1]], alone.out)


# Of the tiny model, before its encoder could be causal.
NAMES_OF_WEIGHTS = "f247cdbbab17"
OUTPUTS = [-0.62295001745224, -0.6108343601226807, -0.05178215354681015, 0.3253292739391327]
TRAINING_LOSS = 33.53093338012695


def test_a_model_that_is_not_causal_is_what_it_was() -> None:
    model = tiny_model()
    names = hashlib.sha256(" ".join(model.state_dict()).encode()).hexdigest()
    assert names.startswith(NAMES_OF_WEIGHTS)
    torch.manual_seed(1)
    features, lengths, targets, target_lengths = ragged_batch([67, 40, 31], [4, 3, 1])
    out = model.encode(features, lengths).out
    torch.testing.assert_close(out[0, 0, :4], torch.tensor(OUTPUTS), rtol=1e-5, atol=1e-6)
    # Without dropout and sampling, whose draws differ from processor to processor.
    settled = tiny_model(plain(tiny_config()))
    loss = losses_of(settled.train(), features, lengths, targets, target_lengths).total
    assert float(loss.detach()) == pytest.approx(TRAINING_LOSS, rel=1e-5)


def test_a_causal_model_has_the_same_weights() -> None:
    assert list(tiny_model(causal_config()).state_dict()) == list(
        tiny_model(changed(tiny_config(), encoder={"kernel_frames": 5})).state_dict()
    )
