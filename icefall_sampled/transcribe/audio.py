"""The audio of any file that FFmpeg reads, block by block: mono, 16 kHz, float32.

For a video it is the audio track. Times are those of the file: gaps, such as missing packets or
audio that begins after the picture, are filled with silence, so that later samples keep their time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.errors import UserError

Samples = NDArray[np.float32]

BLOCK_SECONDS = 5.0
_MIN_GAP_SECONDS = 0.1
_MAX_GAP_SECONDS = 3600.0
"""A larger jump of the timestamps is not a gap: the clock was reset."""
_MAX_LOST_SECONDS = 1.0
"""How much of a file may be missing before it counts as damaged."""
_GUESSED_LENGTHS = {"mp3", "aac", "ac3", "mpegts", "mpeg", "amr"}
"""Formats whose length is an estimate unless a header gives it."""

logger = logging.getLogger(__name__)


class Unreadable(UserError):
    """A file, or a part of one, cannot be read; the message gives the reason, not the name."""


class Audio:
    """An open file.

        with Audio(path) as audio:
            for block in audio.blocks(): …

    Args:
        source: a path, or an object with a method `read`, such as standard input.

    Raises:
        Unreadable: if it has no audio.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        try:
            # Without the scheme "file:" FFmpeg would read "talk:" in "talk:1.wav" as a protocol.
            self._container: Any = av.open(f"file:{source}" if isinstance(source, Path) else source)
        except Exception as error:  # a broken file makes FFmpeg or Python raise anything
            raise Unreadable(_reason(error)) from error
        self._stream: Any = self._container.streams.best("audio")
        if self._stream is None:
            self._container.close()
            raise Unreadable("there is no sound in it")
        self.seconds = self._declared_seconds()
        """The length that the file declares; None if it declares none."""
        self._heard = 0.0
        self._lost = 0.0
        self._zero: float | None = None

    def __enter__(self) -> Audio:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._container.close()

    def blocks(self) -> Iterator[Samples]:
        """The samples, about five seconds at a time.

        Raises:
            Unreadable: after the last readable block, if there should be more.
        """
        waiting: list[Samples] = []
        for samples in self._samples():
            waiting.append(samples)
            if sum(map(len, waiting)) >= BLOCK_SECONDS * SAMPLING_RATE:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)
        self._check_whole()

    def _declared_seconds(self) -> float | None:
        stream, container = self._stream, self._container
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if container.duration is not None and len(container.streams) == 1:
            return float(container.duration / av.time_base)
        return None

    def _samples(self) -> Iterator[Samples]:
        resampler, resampled_from = None, None
        for frame in self._frames():
            yield from self._silence_before(frame)
            self._heard += frame.samples / frame.sample_rate
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != resampled_from:  # the format may change within a file
                yield from _arrays(resampler.resample(None) if resampler else [])
                resampled_from = kind
                resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLING_RATE)
            assert resampler is not None
            frame.pts = None  # gaps were filled above; the resampler must not fill them again
            yield from _arrays(resampler.resample(frame))
        yield from _arrays(resampler.resample(None) if resampler else [])

    def _frames(self) -> Iterator[Any]:
        """The frames that can be decoded; damaged packets are skipped, as in players."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except Exception as error:  # as above
                raise Unreadable(f"{_reason(error)} after {self._heard:.1f} s") from error
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if isinstance(error, av.EOFError):
                    return
                lost = packet.duration * packet.time_base if packet.duration else 0
                self._lost += float(lost)
                continue
            yield from (frame for frame in frames if frame.samples)

    def _silence_before(self, frame: Any) -> Iterator[Samples]:
        """As much as the frame's timestamp is ahead of the samples so far."""
        if frame.time is None:
            return
        if self._zero is None:
            start = self._container.start_time
            self._zero = frame.time if start is None else start / av.time_base
        gap = frame.time - self._zero - self._heard
        if abs(gap) > _MAX_GAP_SECONDS:
            self._zero += gap
            return
        if gap < _MIN_GAP_SECONDS:
            return
        self._heard += gap
        missing, block = round(gap * SAMPLING_RATE), round(BLOCK_SECONDS * SAMPLING_RATE)
        for start in range(0, missing, block):
            yield np.zeros(min(block, missing - start), np.float32)

    def _check_whole(self) -> None:
        if self._lost > _MAX_LOST_SECONDS:
            raise Unreadable(f"{self._lost:.1f} s of damaged packets were left out")
        if self.seconds is None or self._heard >= self.seconds - _MAX_LOST_SECONDS:
            return
        ends = f"it ends after {self._heard:.1f} of {self.seconds:.1f} s"
        if self._container.format.name not in _GUESSED_LENGTHS:
            raise Unreadable(ends)
        if self._heard < 0.9 * self.seconds:
            logger.warning(
                "%s: %s, if its header is right", self._container.name.removeprefix("file:"), ends
            )


def _arrays(frames: list[Any]) -> Iterator[Samples]:
    for frame in frames:
        # Files of floats may contain NaN or infinity, which would spoil all later features.
        yield np.nan_to_num(frame.to_ndarray()[0], nan=0.0, posinf=1.0, neginf=-1.0)


def _reason(error: BaseException) -> str:
    """FFmpeg's message in one line, without the path, which the caller names."""
    if isinstance(error, OSError | av.FFmpegError) and error.strerror:
        log = getattr(error, "log", None)
        more = f" ({log[2].strip()})" if log and log[2].strip() else ""
        return " ".join(f"{error.strerror}{more}".split())
    return " ".join(str(error).split())[:200] or type(error).__name__
