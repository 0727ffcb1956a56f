"""The constants of the features are those that the extractor has, and cost nothing to import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from icefall_sampled import audio
from icefall_sampled.data.features import make_fbank
from tests.support.recipes import environment


def test_the_extractor_agrees() -> None:
    fbank = make_fbank()
    frames = fbank.extract(np.zeros(2 * audio.SAMPLING_RATE, np.float32), audio.SAMPLING_RATE)
    assert frames.shape == (2 * audio.FRAMES_PER_SECOND, audio.NUM_MEL_BINS)
    options = fbank.config.frame_opts
    assert options.sampling_rate == audio.SAMPLING_RATE
    assert options.frame_shift == pytest.approx(audio.FRAME_SECONDS)
    assert options.frame_length == pytest.approx(audio.WINDOW_SECONDS)
    assert audio.FRAME_SAMPLES == audio.SAMPLING_RATE * audio.FRAME_SECONDS


@pytest.mark.parametrize("module", ["audio", "errors", "files", "tables"])
def test_what_everybody_needs_loads_no_package(module: str) -> None:
    code = f"import icefall_sampled.{module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert not {"torch", "lhotse", "numpy", "tyro"} & set(done.stdout.split())
