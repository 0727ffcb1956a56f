"""Cut audio of any length into segments that a model can take, without holding all of it.

A segment ends in the middle of the longest pause in its second half. If there is none, two
neighbours overlap by some seconds around the quietest point, and `words.joined` chooses between
their words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icefall_sampled.audio import FRAME_SAMPLES, SAMPLING_RATE
from icefall_sampled.transcribe.audio import Samples, Unreadable

_WINDOW_STEPS = 30
"""A pause lasts at least 0.3 s; the closure of a plosive is shorter."""
_LONG_PAUSE_STEPS = 100 - _WINDOW_STEPS
_PAUSE_RATIO = 0.01
"""Maximum power in a pause, relative to loud speech in the same segment: -20 dB."""
_NOTHING = 1e-7
"""Absolute silence threshold: a power of -70 dB relative to full scale."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a file."""

    start: float
    """Seconds from the beginning of the file."""
    samples: Samples
    shared_seconds: float
    """Overlap with the previous segment, at the beginning; 0 after a pause."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLING_RATE

    @property
    def end(self) -> float:
        """Seconds from the beginning of the file."""
        return self.start + self.seconds


def cut(
    blocks: Iterator[Samples], *, max_seconds: float, overlap_seconds: float
) -> Iterator[Segment]:
    """Cut audio while it is read.

    Args:
        blocks: samples; if it raises Unreadable, this does so after the last segment.
        max_seconds: maximum length of a segment.
        overlap_seconds: overlap without a pause; at most a quarter of `max_seconds`.

    Returns:
        At least one segment, which is empty if the file is.
    """
    assert 4 * overlap_seconds <= max_seconds
    most, overlap = (round(x * SAMPLING_RATE) for x in (max_seconds, overlap_seconds))
    rest: Samples = np.zeros(0, np.float32)
    start, shared, problem = 0, 0, None

    def segment(samples: Samples) -> Segment:
        return Segment(
            start=start / SAMPLING_RATE,
            samples=samples.copy(),  # a view would keep the whole buffer alive
            shared_seconds=shared / SAMPLING_RATE,
        )

    try:
        for block in blocks:
            rest = np.concatenate([rest, block])
            while len(rest) > most:
                end, following = _end(rest[:most], overlap)
                yield segment(rest[:end])
                rest, start, shared = rest[following:], start + following, end - following
    except Unreadable as error:
        problem = error
    yield segment(rest)
    if problem is not None:
        raise problem


def _end(samples: Samples, overlap: int) -> tuple[int, int]:
    """Where a segment of these samples ends, and where the next one begins."""
    half = len(samples) // 2
    power = _smooth_power(samples)
    loud = float(np.percentile(power, 95))
    first = min(half // FRAME_SAMPLES, len(power) - 1)
    quiet = power <= max(_PAUSE_RATIO * loud, _NOTHING)
    if quiet[first:].any():
        end = _middle_of_longest(quiet, first)
        return end, end
    last = len(samples) - overlap // 2
    quietest = _sample(first + int(power[first : max(last // FRAME_SAMPLES, first + 1)].argmin()))
    quietest = min(max(quietest, half), last)
    return quietest + overlap - overlap // 2, quietest - overlap // 2


def _smooth_power(samples: Samples) -> NDArray[np.float64]:
    """Mean power of each window of 0.3 s, a value every 10 ms."""
    steps = max(len(samples) // FRAME_SAMPLES, 1)
    squares = np.square(samples[: steps * FRAME_SAMPLES], dtype=np.float64)
    power = squares.reshape(steps, -1).mean(axis=1)
    window = min(_WINDOW_STEPS, steps)
    return np.convolve(power, np.full(window, 1 / window), mode="valid").clip(min=0)


def _sample(step: int) -> int:
    """The middle of a window."""
    return (step + _WINDOW_STEPS // 2) * FRAME_SAMPLES


def _middle_of_longest(quiet: NDArray[np.bool_], first: int) -> int:
    """The sample in the middle of the longest run of quiet windows from `first` on.

    A sentence often ends at a long pause. Pauses beyond a second count as equal; among equals the
    last one wins.
    """
    found = first + np.flatnonzero(quiet[first:])
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
    run = max(runs, key=lambda run: (min(len(run), _LONG_PAUSE_STEPS), run[-1]))
    return _sample(int(run[len(run) // 2]))
