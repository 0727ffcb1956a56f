"""Sounds, and files of them in the formats that PyAV can write."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

RATE = 16000


def tone(seconds: float, *, hertz: float = 440.0, level: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def noise(seconds: float, *, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Sound on which a random model says something."""
    random = np.random.RandomState(seed)
    bursts = np.repeat(random.uniform(0.05, 1, round(seconds * 10) + 1), RATE // 10)
    samples = random.randn(round(seconds * RATE)) * bursts[: round(seconds * RATE)]
    return (level * samples).astype(np.float32)


def write(
    path: Path,
    samples: np.ndarray,
    *,
    codec: str = "pcm_s16le",
    rate: int = RATE,
    layout: str = "mono",
    container: str | None = None,
    delay_seconds: float = 0.0,
    picture: bool = False,
) -> Path:
    """Encode mono samples at 16 kHz.

    Args:
        path: its suffix says the container, unless that is given.
        samples: what is heard; in each channel, where there are two.
        codec: FFmpeg's name of it.
        rate: of the file.
        layout: of the file.
        container: FFmpeg's name of it.
        delay_seconds: by which the sound begins later than the picture.
        picture: whether to make a film.
    """
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if picture:
            _black(file, max(len(samples) / RATE + delay_seconds, 0.2))
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        fifo = av.AudioFifo()
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            resampled.pts = None
            fifo.write(resampled)
        done = round(delay_seconds * rate)
        while (
            part := fifo.read(stream.codec_context.frame_size or 1024, partial=True)
        ) is not None:
            part.pts = done
            done += part.samples
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def _black(file: av.container.OutputContainer, seconds: float) -> None:
    """A track of pictures, five a second."""
    stream = file.add_stream("mpeg4", rate=5)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    for number in range(round(seconds * 5)):
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        picture.pts = number
        file.mux(stream.encode(picture))
    file.mux(stream.encode(None))
