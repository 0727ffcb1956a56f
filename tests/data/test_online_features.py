"""Features of sound in pieces are those of the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.data.features import make_fbank
from icefall_sampled.data.online_features import OnlineFbank


def offline(samples: Tensor) -> Tensor:
    return torch.from_numpy(make_fbank().extract(samples.numpy(), sampling_rate=SAMPLING_RATE))


def online(samples: Tensor, sizes: list[int]) -> Tensor:
    extractor, found = OnlineFbank(), []
    for size in sizes:
        piece, samples = samples[:size], samples[size:]
        found.append(extractor.hear(piece))
    return torch.cat([*found, extractor.hear(samples, final=True)])


@settings(max_examples=25)
@given(
    num=st.integers(250, 12_000),
    sizes=st.lists(st.sampled_from([0, 1, 7, 160, 400, 1600, 3210]), max_size=12),
)
def test_pieces_of_any_size(num: int, sizes: list[int]) -> None:
    samples = 0.3 * torch.randn(num, generator=torch.Generator().manual_seed(num))
    whole = offline(samples)
    assert len(whole) == (num + 80) // 160
    torch.testing.assert_close(online(samples, sizes), whole, rtol=1e-5, atol=1e-5)


def test_sample_by_sample() -> None:
    samples = 0.3 * torch.randn(1500)
    torch.testing.assert_close(online(samples, [1] * 1500), offline(samples), rtol=1e-5, atol=1e-5)


def test_a_long_piece_loses_nothing() -> None:
    samples = 0.3 * torch.randn(25 * SAMPLING_RATE)
    torch.testing.assert_close(online(samples, []), offline(samples), rtol=1e-5, atol=1e-5)


def test_frames_come_as_soon_as_their_window_is_there() -> None:
    extractor = OnlineFbank()
    # Centred on its 10 ms, a window of 25 ms ends 7.5 ms after them.
    assert len(extractor.hear(torch.randn(10 * 160 + 119))) == 9
    assert len(extractor.hear(torch.randn(1))) == 1


def test_nothing_heard_gives_nothing() -> None:
    assert OnlineFbank().hear(torch.zeros(0), final=True).shape == (0, 80)


def test_what_comes_after_the_end_is_refused() -> None:
    extractor = OnlineFbank()
    extractor.hear(torch.randn(500), final=True)
    assert extractor.hear(torch.zeros(0), final=True).shape == (0, 80)
    with pytest.raises(ValueError, match="^samples come after the stream has ended"):
        extractor.hear(torch.randn(5))
    with pytest.raises(ValueError, match=r"^samples are \(2, 5\), they must be in one dimension"):
        OnlineFbank().hear(torch.randn(2, 5))
