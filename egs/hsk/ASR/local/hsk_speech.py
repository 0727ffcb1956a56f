"""Find the speech in a recording of one word by its energy."""

from __future__ import annotations

import numpy as np

from icefall_sampled.audio import FRAME_SECONDS
from icefall_sampled.errors import UserError

SPEECH_DB = 35.0
"""Frames at most this many decibels below the loudest are speech. In the corpus the noise is 46 dB
below the loudest frame in the median, and a weak fricative 20 to 30."""
MARGIN_SECONDS = 0.05
"""Margin before and after the speech: the beginning of an [f] is weaker than the rest."""
SILENT_DBFS = -45.0
"""A recording whose loudest frame is below this has no word; in the corpus the lowest is -18."""
_TINY_POWER = 1e-12


def frame_levels(samples: np.ndarray, sampling_rate: int) -> np.ndarray:
    """The mean power of each whole frame of 10 ms, (num_frames,) in decibels below full scale.

    Args:
        samples: (num_samples,) from -1 to 1.
        sampling_rate: in hertz; a frame need not be a whole number of samples.
    """
    num_frames = int(len(samples) / sampling_rate / FRAME_SECONDS)
    edges = np.round(np.arange(num_frames + 1) * FRAME_SECONDS * sampling_rate).astype(int)
    energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))[edges]
    return np.asarray(10 * np.log10(np.diff(energy) / np.diff(edges) + _TINY_POWER))


def find_speech(samples: np.ndarray, sampling_rate: int) -> tuple[float, float]:
    """Start and end of the speech with its margins, in seconds, as whole hundredths.

    Args:
        samples: (num_samples,) from -1 to 1.
        sampling_rate: in hertz.

    Raises:
        UserError: if there is none.
    """
    levels = frame_levels(samples, sampling_rate)
    if not len(levels) or not levels.max() > SILENT_DBFS:
        raise UserError("is silent")
    speech = np.flatnonzero(levels >= levels.max() - SPEECH_DB)
    margin = round(MARGIN_SECONDS / FRAME_SECONDS)
    first = max(0, int(speech[0]) - margin)
    last = min(len(levels), int(speech[-1]) + 1 + margin)
    return round(first * FRAME_SECONDS, 2), round(last * FRAME_SECONDS, 2)
