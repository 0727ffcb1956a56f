"""Where the speech is, in sounds of which that is known."""

from __future__ import annotations

import numpy as np
import pytest
from hsk_speech import MARGIN_SECONDS, SPEECH_DB, find_speech, frame_levels


def sound(rate: int, *, begin: float, end: float, seconds: float, noise_db: float) -> np.ndarray:
    """A tone of half of full scale between silence that is so many decibels weaker."""
    random = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    power = 0.5**2 / 2 * 10 ** (noise_db / 10)
    samples = random.normal(scale=np.sqrt(power), size=len(time))
    inside = (time >= begin) & (time < end)
    samples[inside] = 0.5 * np.sin(2 * np.pi * 300 * time[inside])
    return samples.astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize(("begin", "end"), [(0.3, 0.9), (0.31, 0.42), (0.1, 1.15)])
def test_silence_is_left_out_but_for_its_margins(rate: int, begin: float, end: float) -> None:
    samples = sound(rate, begin=begin, end=end, seconds=1.3, noise_db=-SPEECH_DB - 6)
    found = find_speech(samples, rate)
    # A frame that the tone begins or ends in may count as speech.
    assert found == pytest.approx((begin - MARGIN_SECONDS, end + MARGIN_SECONDS), abs=0.0101)
    assert all(value == round(value, 2) for value in found)


def test_margins_end_where_the_recording_does() -> None:
    samples = sound(22050, begin=0.02, end=0.994, seconds=1.004, noise_db=-60)
    assert find_speech(samples, 22050) == (0.0, 1.0)


def test_noise_that_is_nearly_as_loud_is_kept() -> None:
    samples = sound(16000, begin=0.3, end=0.9, seconds=1.3, noise_db=-SPEECH_DB + 6)
    assert find_speech(samples, 16000) == (0.0, 1.3)


def test_quiet_recordings_are_trimmed_as_loud_ones() -> None:
    samples = sound(16000, begin=0.3, end=0.9, seconds=1.3, noise_db=-60)
    assert find_speech(0.05 * samples, 16000) == find_speech(samples, 16000)


def test_levels_are_of_full_scale() -> None:
    samples = sound(22050, begin=0, end=0.5, seconds=0.5, noise_db=-60)
    assert frame_levels(samples, 22050) == pytest.approx(10 * np.log10(0.5**2 / 2), abs=0.1)
    assert len(frame_levels(samples, 22050)) == 50


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(16000), np.full(16000, 1e-4)])
def test_no_speech_is_said(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="^is silent$"):
        find_speech(samples.astype(np.float32), 16000)
