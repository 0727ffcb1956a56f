"""SpecAugment (Park et al. 2019), each utterance on its own frames."""

from __future__ import annotations

from lhotse.dataset.signal_transforms import SpecAugment as LhotseSpecAugment
from torch import Tensor

from icefall_sampled.config import SpecAugmentConfig

MIN_FRAMES = 30  # shorter utterances have no room for lhotse's masks


class SpecAugment:
    """Lhotse's SpecAugment over a padded batch.

    It runs in the training process and not in the loader's workers, so that the random state in
    a checkpoint is all that is needed to continue bit by bit.
    """

    def __init__(self, config: SpecAugmentConfig) -> None:
        self._augment = LhotseSpecAugment(
            time_warp_factor=config.time_warp_frames,
            num_feature_masks=config.num_feature_masks,
            features_mask_size=config.feature_mask_bins,
            num_frame_masks=config.num_frame_masks,
            frames_mask_size=config.frame_mask_frames,
            max_frames_mask_fraction=config.max_masked_fraction,
            p=config.probability,
        )
        self._enabled = config.probability > 0

    def __call__(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(N, frames, bins) on the CPU, (N,) -> (N, frames, bins); padding is not touched."""
        if not self._enabled:
            return features
        out = features.clone()
        for row, length in enumerate(lengths.tolist()):
            if length >= MIN_FRAMES:
                out[row, :length] = self._augment(features[row : row + 1, :length])[0]
        return out
