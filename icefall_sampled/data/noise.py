"""Noise that is mixed into training batches while they are loaded, drawn anew in each epoch.

Lhotse does the mixing (`CutSet.mix`, which its CutMix uses). Where speech and noise have features,
it mixes these, without reading audio. The noise of an utterance, its offset and its SNR depend only
on the seed, the epoch and the batch. So a resumed run, with any number of workers, gets the same
noise as an uninterrupted one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from lhotse import CutSet

from icefall_sampled.config import DataConfig
from icefall_sampled.data.cuts import read_cuts
from icefall_sampled.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise for the batches of one epoch."""

    cuts: CutSet
    percent: float
    """Share of the utterances that get noise."""
    snr: tuple[float, float]
    """The least and the greatest signal-to-noise ratio in dB."""
    seed: str

    def mixed_into(self, batch: CutSet) -> CutSet:
        """The cuts of a batch, a share of them with noise; their ids stay."""
        first = next(iter(batch)).id
        mixed: CutSet = batch.mix(
            self.cuts,
            snr=self.snr,
            mix_prob=self.percent / 100,
            preserve_id="left",
            seed=random.Random(f"{self.seed} {first}"),
            random_mix_offset=True,
        )
        return mixed


def noise_of(config: DataConfig, *, seed: int, epoch: int) -> Noise | None:
    """The noise for one epoch of a run, None for clean speech.

    Raises:
        UserError: where the manifest cannot be read, or is empty.
    """
    if config.noise_cuts is None or not config.noise_percent:
        return None
    # Lhotse would add the noise's supervisions to the transcript, so they are dropped.
    noise = read_cuts(config.noise_cuts, argument="data.noise_cuts")
    cuts = [cut.drop_supervisions() for cut in noise]
    if not cuts:
        raise UserError(f"data.noise_cuts is {config.noise_cuts}, it must hold at least one cut")
    return Noise(
        cuts=CutSet.from_cuts(cuts), percent=config.noise_percent, snr=config.noise_snr,
        seed=f"{seed} {epoch}",
    )  # fmt: skip
