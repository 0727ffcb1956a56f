"""From the cuts that share a batch to padded tensors; loading.py says which cuts these are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut, MixedCut
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from icefall_sampled.audio import NUM_MEL_BINS
from icefall_sampled.data.cuts import text_of
from icefall_sampled.data.features import make_fbank
from icefall_sampled.data.noise import Noise
from icefall_sampled.data.shar import DAMAGED
from icefall_sampled.errors import unreadable
from icefall_sampled.tokens import TokenTable


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Utterances padded to one length."""

    features: Tensor
    """(N, frames, 80) log-mel filterbanks; padding is zero."""
    lengths: Tensor
    """(N,) input frames."""
    targets: Tensor
    """(N, U) token ids; padding is zero."""
    target_lengths: Tensor
    """(N,)."""
    ids: list[str]
    texts: list[str]
    duration_seconds: float
    """Speech in the batch, without padding."""
    rejected: list[tuple[str, str]]
    """Id and reason of each utterance that could not be read."""

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on a device."""
        names = ("features", "lengths", "targets", "target_lengths")
        return replace(self, **{n: getattr(self, n).to(device, non_blocking=True) for n in names})

    def without_token(self, token_id: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features, lengths, targets and their lengths of the utterances that lack a token."""
        rows = ~(self.targets == token_id).any(dim=1)  # padding is blank, no token
        return (
            self.features[rows],
            self.lengths[rows],
            self.targets[rows],
            self.target_lengths[rows],
        )


class Utterances(Dataset[Batch]):
    """Turns the small CutSet that a sampler gives into a `Batch`, with noise where it is wanted."""

    def __init__(self, tokens: TokenTable, noise: Noise | None = None) -> None:
        self.tokens, self.noise = tokens, noise
        self._extractor: Any = None

    def __getitem__(self, cuts: CutSet) -> Batch:  # type: ignore[override]
        """Load features, or compute them from audio where the cut has none."""
        kept, features, rejected = [], [], []
        for cut in self.noise.mixed_into(cuts) if self.noise else cuts:
            try:
                features.append(self._features(cut))
                kept.append(cut)
            except Exception as error:  # whatever a broken file makes a codec raise
                rejected.append((cut.id, unreadable(error)))
        texts = [text_of(cut) for cut in kept]
        targets = [torch.tensor(self.tokens.encode(text), dtype=torch.int64) for text in texts]
        return Batch(
            features=_pad(features, torch.zeros(0, NUM_MEL_BINS)),
            lengths=torch.tensor([len(f) for f in features], dtype=torch.int64),
            targets=_pad(targets, torch.zeros(0, dtype=torch.int64)),
            target_lengths=torch.tensor([len(t) for t in targets], dtype=torch.int64),
            ids=[cut.id for cut in kept],
            texts=texts,
            duration_seconds=sum(cut.duration for cut in kept),
            rejected=rejected,
        )

    def _features(self, cut: Cut) -> Tensor:
        speech = cut.tracks[0].cut if isinstance(cut, MixedCut) else cut
        if speech.has_features and getattr(speech.features, "storage_type", "") == "shar":
            raise ValueError(DAMAGED)
        array = cut.load_features() if cut.has_features else cut.compute_features(self._fbank())
        features = torch.from_numpy(np.array(array, dtype=np.float32))
        if features.dim() != 2 or features.shape[1] != NUM_MEL_BINS:
            raise ValueError(f"features are {tuple(features.shape)}, not (frames, {NUM_MEL_BINS})")
        if not torch.isfinite(features).all():
            raise ValueError("features are not finite")
        return features

    def _fbank(self) -> Any:
        if self._extractor is None:
            self._extractor = make_fbank()
        return self._extractor


def _pad(rows: list[Tensor], empty: Tensor) -> Tensor:
    """Stack rows of unequal length; no rows give a batch of none."""
    return pad_sequence(rows, batch_first=True) if rows else empty[None][:0]
