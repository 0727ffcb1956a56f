"""CTC blank skip: frames in which CTC is nearly sure of blank are not decoded at all.

The idea of Tian et al. 2021, "FSR: Accelerating the inference process of transducer-based models
by applying fast-skip regularization". The remaining frames are a shorter utterance, for any search.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from icefall_sampled.decoding.searches.hypothesis import Hypothesis
from icefall_sampled.lengths import padding_mask


@dataclass(frozen=True)
class KeptFrames:
    """The frames of a batch that are decoded, left-aligned."""

    encoder_out: Tensor
    """(N, T', D); padding is zero."""
    lengths: Tensor
    """(N,); 0 where every frame was blank."""
    frames: Tensor
    """(N, T') the number of each frame in its utterance."""

    def in_time(self, row: int, hypothesis: Hypothesis) -> Hypothesis:
        """A hypothesis of utterance `row` over these frames, with its original frame numbers."""
        numbers = self.frames[row].tolist()
        return replace(hypothesis, frames=[numbers[t] for t in hypothesis.frames])


def skip_blanks(
    encoder_out: Tensor, lengths: Tensor, blank_log_probs: Tensor, *, threshold: float
) -> KeptFrames:
    """Leave out the frames whose CTC blank posterior exceeds `threshold`.

    Args:
        encoder_out: (N, T, D).
        lengths: (N,) encoder frames.
        blank_log_probs: (N, T) log-probability of blank by CTC, in nats.
        threshold: above 0 and at most 1; at 1 every frame is kept.

    Raises:
        ValueError: where the threshold is outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}, it must be above 0 and at most 1")
    dropped = padding_mask(lengths, encoder_out.shape[1]) | (blank_log_probs.exp() > threshold)
    kept = (~dropped).sum(dim=1)
    # A stable sort puts the kept frames first, in their order.
    order = torch.argsort(dropped.to(torch.int8), dim=1, stable=True)[:, : int(kept.max())]
    moved = encoder_out.gather(1, order[..., None].expand(-1, -1, encoder_out.shape[2]))
    beyond = padding_mask(kept, moved.shape[1])
    return KeptFrames(moved.masked_fill(beyond[..., None], 0.0), kept, order)
