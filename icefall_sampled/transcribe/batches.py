"""Decode segments in batches as large as the free memory allows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from icefall_sampled.config import SearchConfig
from icefall_sampled.data.features import SAMPLING_RATE, make_fbank
from icefall_sampled.decoding.search import search
from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.memory import MIB, peak_allocated_mib
from icefall_sampled.modeling import Transducer
from icefall_sampled.modeling.subsampling import min_input_frames
from icefall_sampled.transcribe.audio import Samples

_SHARE = 0.5
"""Share of the free memory to use: other processes need some, and allocators fragment it."""
_CGROUP = Path("/sys/fs/cgroup")
_FRAME = SAMPLING_RATE // 100

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
        self._needed = min_input_frames(model.config.encoder.subsampling)
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
    return (len(samples) + _FRAME // 2) // _FRAME


def available_mib(device: torch.device) -> float:
    """Free memory on a device; for the CPU, also within the limit of the container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (free + unused) / MIB
    return min(_host_bytes(), _container_bytes()) / MIB


def _host_bytes() -> float:
    """MemAvailable on Linux; 4 GiB on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 4096.0 * MIB
    sizes = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(sizes["MemAvailable"].split()[0])


def _container_bytes() -> float:
    """Memory left in the control group; infinity if it sets no limit."""
    try:
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or the word max
        return float("inf")
    return float(max(limit - used, 0))
