"""The encoder over streams equals the encoder over utterances, however the input is cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.modeling import Encoded, Transducer
from icefall_sampled.modeling.conformer_stream import StreamState
from icefall_sampled.modeling.context import Context
from icefall_sampled.modeling.streaming import StreamingEncoder
from icefall_sampled.modeling.subsampling import min_input_frames, subsampled_lengths
from tests.support.streaming import causal_config, heard
from tests.support.tiny import changed, tiny_config, tiny_model

TAPPED = {"intermediate_layers": (1,), "self_conditioning": True}


def model_of(**parts: dict[str, Any]) -> Transducer:
    """In float64, with statistics of features and of batches that are not the initial ones."""
    model = tiny_model(changed(causal_config(), **parts), scale=3.0).double()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    norm = model.feature_norm
    norm.count.fill_(10.0)
    norm.total.normal_(std=5.0)
    norm.squares.uniform_(30.0, 60.0)
    return model


MODELS = {
    (factor, taps): model_of(encoder={"subsampling": factor}, ctc=TAPPED if taps else {})
    for factor, taps in ((4, False), (6, True), (8, False))
}


def assert_same(streamed: Encoded, offline: Encoded, lengths: list[int], factor: int) -> None:
    assert streamed.lengths.tolist() == [max(subsampled_lengths(x, factor), 0) for x in lengths]
    pairs = zip([streamed.out, *streamed.taps], [offline.out, *offline.taps], strict=True)
    for actual, expected in pairs:
        for n, length in enumerate(streamed.lengths.tolist()):
            assert largest(actual[n, :length] - expected[n, :length]) < 1e-10


def largest(x: Tensor) -> float:
    return float(x.detach().abs().max()) if x.numel() else 0.0


@settings(max_examples=40)
@given(data=st.data())
def test_streamed_equals_offline_with_the_same_chunks(data: st.DataObject) -> None:
    model = MODELS[data.draw(st.sampled_from(sorted(MODELS)), label="model")]
    context = Context(
        chunk_frames=data.draw(st.sampled_from([1, 2, 3, 5, 50]), label="chunk"),
        left_context_frames=data.draw(st.sampled_from([-1, 0, 1, 4, 7]), label="left"),
    )
    lengths = data.draw(st.lists(st.integers(0, 110), min_size=1, max_size=3), label="lengths")
    shortest = min_input_frames(model.config.encoder.subsampling)
    whole = torch.tensor([max(length, shortest) for length in lengths])  # offline takes no less
    features = 3.0 * torch.randn(len(lengths), int(whole.max()), 80, dtype=torch.float64)
    offline = model.encode(features, whole, context=context)
    cuts = [
        data.draw(st.lists(st.integers(0, 40) | st.just(1), max_size=6), label="pieces")
        for _ in lengths
    ]
    early = data.draw(st.booleans(), label="end with the last frame")
    streamed = heard(model, context, features, lengths, cuts, early=early)
    assert_same(streamed, offline, lengths, model.config.encoder.subsampling)


@pytest.mark.parametrize("factor", [4, 6, 8])
def test_frame_by_frame(factor: int) -> None:
    model = MODELS[factor, factor == 6]
    context = Context(chunk_frames=3, left_context_frames=4)
    features = torch.randn(2, 70, 80, dtype=torch.float64)
    offline = model.encode(features, torch.tensor([70, 58]), context=context)
    cuts = [[1] * 70, [1] * 58]
    assert_same(heard(model, context, features, [70, 58], cuts), offline, [70, 58], factor)


def test_chunks_change_what_comes_out_and_nothing_after_a_chunk_does() -> None:
    """Otherwise the equalities of this file would hold of an encoder that ignores its context."""
    model = MODELS[4, False]
    features, lengths = torch.randn(1, 99, 80, dtype=torch.float64), torch.tensor([99])
    whole, chunked, narrow = (
        model.encode(features, lengths, context=Context(chunk_frames=c, left_context_frames=left))
        for c, left in ((0, -1), (4, -1), (4, 2))
    )
    assert largest(whole.out[:, :4] - chunked.out[:, :4]) > 1e-3
    assert largest(chunked.out[:, 8:] - narrow.out[:, 8:]) > 1e-3
    # Two chunks of four frames need 7 * 4 + 7 input frames; what follows is not heard.
    features[:, 35:] += 1.0
    again = model.encode(features, lengths, context=Context(chunk_frames=4))
    assert largest(again.out[:, :8] - chunked.out[:, :8]) < 1e-10
    assert largest(again.out[:, 8:] - chunked.out[:, 8:]) > 1e-3


def test_a_chunk_comes_out_with_its_last_frame_and_no_sooner() -> None:
    model = MODELS[6, True]
    encoder = StreamingEncoder(model, Context(chunk_frames=3))
    features = torch.randn(1, 60, 80, dtype=torch.float64)
    state, came = encoder.initial_state(1), []
    for t in range(58):
        out, state = encoder.advance(features[:, t : t + 1], torch.tensor([1]), state)
        came.append(int(out.lengths))
    needed = 2 * 6 + min_input_frames(6)
    assert [t + 1 for t, count in enumerate(came) if count] == [needed, needed + 18]
    assert set(came) == {0, 3}


def bytes_of(state: StreamState) -> int:
    """Of the storages, which a view of something larger would keep alive."""
    tensors = [state.features, state.lengths, state.done, *(x for p in state.past for x in p)]
    storages = [
        x.untyped_storage() if hasattr(x, "untyped_storage") else x.storage() for x in tensors
    ]
    return sum(storage.nbytes() for storage in storages)


@pytest.mark.parametrize(("left", "grows"), [(5, False), (0, False), (-1, True)])
def test_memory_of_a_state(left: int, grows: bool) -> None:
    model = MODELS[4, False]
    encoder = StreamingEncoder(model, Context(chunk_frames=4, left_context_frames=left))
    state, sizes = encoder.initial_state(2), []
    for _ in range(40):
        piece = torch.randn(2, 16, 80, dtype=torch.float64)
        _, state = encoder.advance(piece, torch.tensor([16, 16]), state)
        sizes.append(bytes_of(state))
    assert int(state.done[0]) > 150
    assert (sizes[-1] > sizes[10]) == grows
    assert grows or len(set(sizes[3:])) == 1


def test_a_state_is_never_changed() -> None:
    """So a caller may go back to one, as for another guess at what follows."""
    encoder = StreamingEncoder(MODELS[4, False], Context(chunk_frames=2, left_context_frames=3))
    first, second = torch.randn(2, 2, 40, 80, dtype=torch.float64)
    _, state = encoder.advance(first, torch.tensor([40, 21]), encoder.initial_state(2))
    once, _ = encoder.advance(second, torch.tensor([40, 9]), state)
    again, _ = encoder.advance(second, torch.tensor([40, 9]), state)
    assert torch.equal(once.out, again.out)
    assert int(once.lengths.min()) > 0


def test_what_does_not_fit_the_state_is_refused() -> None:
    encoder = StreamingEncoder(MODELS[4, False], Context(chunk_frames=2))
    state = encoder.initial_state(2)
    piece = torch.zeros(2, 5, 80)
    with pytest.raises(
        ValueError, match=r"^features are \(1, 5, 80\), they must be \(2, frames, 80"
    ):
        encoder.advance(piece[:1], torch.tensor([5]), state)
    with pytest.raises(
        ValueError, match=r"^lengths are \[5, 6\], they must be 2 numbers from 0 to"
    ):
        encoder.advance(piece, torch.tensor([5, 6]), state)
    _, state = encoder.advance(
        piece, torch.tensor([5, 5]), state, final=torch.tensor([True, False])
    )
    with pytest.raises(ValueError, match=r"^lengths has frames for stream 0, which has ended"):
        encoder.advance(piece, torch.tensor([1, 5]), state)
    with pytest.raises(ValueError, match="^chunk_frames is 0, it must be at least 1"):
        StreamingEncoder(MODELS[4, False], Context())
    with pytest.raises(ValueError, match=r"^chunk_frames is 2, it must be 0: .* not trained"):
        StreamingEncoder(tiny_model(tiny_config()), Context(chunk_frames=2))


def test_a_stream_too_short_for_a_frame_gives_none() -> None:
    encoder = StreamingEncoder(MODELS[4, False], Context(chunk_frames=2))
    piece = torch.zeros(1, min_input_frames(4) - 1, 80)
    out, state = encoder.advance(piece, torch.tensor([6]), encoder.initial_state(1), final=True)
    assert out.out.shape == (1, 0, 16)
    assert state.done.tolist() == [0]
    assert subsampled_lengths(6, 4) == 0
