"""Noise that training mixes into its batches as it loads them, new in each epoch.

Lhotse does the mixing (`CutSet.mix`, which its CutMix uses): where speech and noise have features,
in their domain, without reading audio. What is mixed into an utterance, where in it and how loud,
follows from the seed, the epoch and the batch alone: so a run that is continued, with any number of
workers, hears what it would have heard.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from lhotse import CutSet

from icefall_sampled.config import DataConfig
from icefall_sampled.data import read_cuts


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What is mixed into the batches of one epoch."""

    cuts: CutSet
    percent: float
    """Share of the utterances that get noise."""
    snr: tuple[float, float]
    """The least and the greatest signal-to-noise ratio in dB."""
    seed: str

    def mixed_into(self, batch: CutSet) -> CutSet:
        """The cuts of a batch, under their own ids, a share of them in noise."""
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
    """The noise that an epoch of this run has, None for clean speech.

    Raises:
        ValueError: where the manifest cannot be read, or holds nothing.
    """
    if config.noise_cuts is None or not config.noise_percent:
        return None
    # What is said in the noise is not to be recognised: lhotse would add it to the transcript.
    noise = read_cuts(config.noise_cuts, argument="data.noise_cuts")
    cuts = [cut.drop_supervisions() for cut in noise]
    if not cuts:
        raise ValueError(f"data.noise_cuts is {config.noise_cuts}, it must hold at least one cut")
    return Noise(
        cuts=CutSet.from_cuts(cuts), percent=config.noise_percent, snr=config.noise_snr,
        seed=f"{seed} {epoch}",
    )  # fmt: skip
