"""Make cuts of recordings and supervisions, one for each supervision, in an order without order.

    make_cuts.py OUT_CUTS --recordings A.jsonl.gz B.jsonl.gz --supervisions A.jsonl.gz B.jsonl.gz
    make_cuts.py … --noise musan_recordings_noise.jsonl.gz --noise-percent 50

The manifests are any that lhotse's recipes write; the n-th file of recordings belongs to the n-th
of supervisions. The order of the cuts is that of a hash of their ids, which a corpus' sorting by
speaker has no part in: training shuffles, but only so far as it looks ahead.

With `--noise`, a share of the cuts is mixed with noise (lhotse's `CutSet.mix`, which its CutMix
uses), at a ratio between the two of `--noise-snr`. Which noise, and how loud, is drawn here once
and for all; an utterance's slower and faster copies have the same.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Iterator
from pathlib import Path

from lhotse import CutSet, RecordingSet, SupervisionSet
from lhotse.cut import Cut

from icefall_sampled.script import run_script

SAMPLING_RATE = 16000

logger = logging.getLogger(__name__)


def make_cuts(recordings: Path, supervisions: Path) -> Iterator[Cut]:
    """The cut of each supervision, under the supervision's id."""
    whole = CutSet.from_manifests(
        recordings=RecordingSet.from_file(recordings).resample(SAMPLING_RATE),
        supervisions=SupervisionSet.from_file(supervisions),
    )
    for cut in whole.trim_to_supervisions(keep_overlapping=False):
        yield cut.with_id(cut.supervisions[0].id)


def by_hash(cut: Cut) -> str:
    """What cuts are sorted by."""
    return hashlib.sha256(cut.id.encode()).hexdigest()


def with_noise(
    cuts: CutSet, noise: CutSet, *, percent: float, snr: tuple[float, float], seed: int
) -> CutSet:
    """The cuts, a share of them in noise."""
    return cuts.mix(
        noise,
        snr=snr,
        mix_prob=percent / 100,
        preserve_id="left",
        seed=random.Random(seed),
        random_mix_offset=True,
    )


def read_noise(manifests: tuple[Path, ...]) -> CutSet:
    """Cuts of whole recordings.

    Raises:
        ValueError: where there are none.
    """
    recordings = [r for path in existing("noise", manifests) for r in RecordingSet.from_file(path)]
    if not recordings:
        raise ValueError(f"noise is {', '.join(map(str, manifests))}, it must hold a recording")
    whole = RecordingSet.from_recordings(recordings).resample(SAMPLING_RATE)
    return CutSet.from_manifests(recordings=whole)


def existing(argument: str, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """The same paths; raises ValueError where one is no file."""
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{argument} is {path}, it must be an existing manifest")
    return paths


def main(
    out_cuts: Path,
    /,
    *,
    recordings: tuple[Path, ...],
    supervisions: tuple[Path, ...],
    noise: tuple[Path, ...] = (),
    noise_percent: float = 50.0,
    noise_snr: tuple[float, float] = (10.0, 20.0),
    seed: int = 42,
) -> None:
    """Make cuts of recordings and supervisions.

    Args:
        out_cuts: manifest to write.
        recordings: manifests of recordings.
        supervisions: manifest of supervisions of each of these.
        noise: manifests of recordings to mix in; none for clean speech.
        noise_percent: share of the cuts that get noise.
        noise_snr: the least and the greatest signal-to-noise ratio in dB.
        seed: other noise for the same speech.
    """
    if len(recordings) != len(supervisions) or not recordings:
        raise ValueError(
            f"supervisions is {len(supervisions)} files, it must be one for each of the "
            f"{len(recordings)} files of recordings"
        )
    if not 0 <= noise_percent <= 100:
        raise ValueError(f"noise_percent is {noise_percent}, it must be from 0 to 100")
    pairs = zip(
        existing("recordings", recordings), existing("supervisions", supervisions), strict=True
    )
    cuts = CutSet.from_cuts(
        sorted((cut for pair in pairs for cut in make_cuts(*pair)), key=by_hash)
    )
    if noise:
        cuts = with_noise(cuts, read_noise(noise), percent=noise_percent, snr=noise_snr, seed=seed)
    out_cuts.parent.mkdir(parents=True, exist_ok=True)
    # Lhotse takes the format from the name's ending.
    temporary = out_cuts.with_name(f"tmp_{out_cuts.name}")
    with CutSet.open_writer(temporary, overwrite=True) as writer:
        for cut in cuts:
            writer.write(cut)
    temporary.replace(out_cuts)
    logger.info("%s: %d cuts", out_cuts, len(cuts))


if __name__ == "__main__":
    run_script(main)
