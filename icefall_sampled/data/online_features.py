"""Features of audio that arrives in pieces, equal to those of the whole audio."""

from __future__ import annotations

import torch
from torch import Tensor

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.data.features import make_fbank

_BLOCK_SAMPLES = 5 * SAMPLING_RATE
_KEPT_FRAMES = 1000  # more than a block gives; kaldifeat drops older ones


class OnlineFbank:
    """The extractor of `make_fbank` for one stream; it keeps a few seconds at most."""

    def __init__(self) -> None:
        from kaldifeat import FbankOptions
        from kaldifeat import OnlineFbank as Kaldifeat

        options = FbankOptions.from_dict(make_fbank().config.to_dict())
        options.frame_opts.max_feature_vectors = _KEPT_FRAMES
        self._extractor = Kaldifeat(options)
        self._taken, self._samples, self._is_over = 0, 0, False

    def hear(self, samples: Tensor, *, final: bool = False) -> Tensor:
        """Take the next piece of audio, and return the frames that it completes.

        Args:
            samples: (n,) float32 at 16 kHz between -1 and 1, for any n.
            final: whether this is the last piece; then the frames at the end are returned too.

        Returns:
            (frames, 80), possibly without frames.

        Raises:
            ValueError: where samples come after the end, or are not one-dimensional.
        """
        if samples.dim() != 1:
            raise ValueError(f"samples are {tuple(samples.shape)}, they must be in one dimension")
        if self._is_over and len(samples):
            raise ValueError("samples come after the stream has ended, there must be none")
        found = [torch.empty(0, self._extractor.dim)]
        for block in samples.split(_BLOCK_SAMPLES):
            if len(block):
                self._extractor.accept_waveform(float(SAMPLING_RATE), block.float().contiguous())
                self._samples += len(block)
                found += self._ready()
        if final and not self._is_over:
            self._is_over = True
            if self._samples:
                self._extractor.input_finished()
                found += self._ready()
        return torch.cat(found)

    def _ready(self) -> list[Tensor]:
        frames = range(self._taken, self._extractor.num_frames_ready)
        self._taken = max(self._taken, frames.stop)
        return [self._extractor.get_frame(frame) for frame in frames]
