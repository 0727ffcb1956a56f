"""Decode segments in batches as large as the free memory allows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from icefall_sampled.allocations import available_mib, peak_allocated_mib
from icefall_sampled.audio import FRAME_SAMPLES, SAMPLING_RATE
from icefall_sampled.config import SearchConfig
from icefall_sampled.data.features import make_fbank
from icefall_sampled.decoding.search import search
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.modeling import Transducer
from icefall_sampled.transcribe.audio import Samples

_SHARE = 0.5
"""Share of the free memory to use: other processes need some, and allocators fragment it."""

logger = logging.getLogger(__name__)


class Decoder:
    """Encoder and search over any number of segments.

    The memory that they need is measured on the first segment of two or more, and again on any
    longer segment.

    Args:
        model: in eval mode.
        config: which search.
        max_batch_seconds: maximum length of a batch, padding included.
    """

    def __init__(
        self, model: Transducer, config: SearchConfig, *, max_batch_seconds: float
    ) -> None:
        self._model, self._config = model, config
        self._max_batch_seconds = max_batch_seconds
        self._fbank = make_fbank()
        self._needed = model.encoder.min_input_frames
        self._measured_seconds = 0.0
        self._mib = 0.0

    def decode(self, segments: Sequence[Samples]) -> list[list[Hypothesis]]:
        """N-best lists; for a segment that is too short, one empty hypothesis."""
        found = [[Hypothesis()] for _ in segments]
        usable = [i for i, s in enumerate(segments) if _num_frames(s) >= self._needed]
        order = sorted(usable, key=lambda i: -len(segments[i]))
        while order:
            seconds = len(segments[order[0]]) / SAMPLING_RATE
            unknown = len(order) > 1 and seconds > self._measured_seconds
            count = 1 if unknown else self._fitting(seconds)
            batch, order = order[:count], order[count:]
            samples = [segments[i] for i in batch]
            nbest = self._measure(samples, seconds) if unknown else self._decode(samples)
            for i, best in zip(batch, nbest, strict=True):
                found[i] = best
        return found

    def _fitting(self, seconds: float) -> int:
        """How many segments of this length go into a batch."""
        count = int(self._max_batch_seconds / seconds)
        if self._mib:
            count = min(count, int(_SHARE * available_mib(self._device) / self._mib))
        return max(count, 1)

    def _measure(self, samples: list[Samples], seconds: float) -> list[list[Hypothesis]]:
        """Decode, and remember the peak memory."""
        nbest: list[list[Hypothesis]] = []
        self._mib = peak_allocated_mib(lambda: nbest.extend(self._decode(samples)), self._device)
        self._measured_seconds = seconds
        free = available_mib(self._device)
        logger.debug("%.1f s take %.0f of %.0f MiB", seconds, self._mib, free)
        return nbest

    @torch.no_grad()
    def _decode(self, samples: list[Samples]) -> list[list[Hypothesis]]:
        features = [
            torch.from_numpy(self._fbank.extract(s, sampling_rate=SAMPLING_RATE)) for s in samples
        ]
        lengths = torch.tensor([len(f) for f in features])
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        encoded = self._model.encode(padded.to(self._device), lengths.to(self._device))
        return search(self._model, encoded, self._config)

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device


def _num_frames(samples: Samples) -> int:
    """Number of feature frames: one for each 10 ms, and one for a rest of at least 5 ms."""
    return (len(samples) + FRAME_SAMPLES // 2) // FRAME_SAMPLES
