"""Cuts with and without audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import AudioSource, Recording, SupervisionSegment
from lhotse.cut import MonoCut

MakeCut = Callable[..., MonoCut]


@pytest.fixture
def make_cut(tmp_path: Path) -> MakeCut:
    """A cut of noise in a WAV file."""

    def make(name: str, *, seconds: float = 1.0, text: str = "hello", seed: int = 0) -> MonoCut:
        num_samples = round(16000 * seconds)
        samples = np.random.default_rng(seed).normal(scale=0.1, size=num_samples)
        path = tmp_path / "audio" / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, samples, 16000, subtype="PCM_16")
        duration = num_samples / 16000
        recording = Recording(
            id=name,
            sources=[AudioSource(type="file", channels=[0], source=str(path))],
            sampling_rate=16000,
            num_samples=num_samples,
            duration=duration,
        )
        supervision = SupervisionSegment(
            id=name, recording_id=name, start=0, duration=duration, text=text, language="en"
        )
        return MonoCut(
            id=name,
            start=0,
            duration=duration,
            channel=0,
            recording=recording,
            supervisions=[supervision],
        )

    return make
