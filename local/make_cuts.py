"""Make cuts of recordings, one for each supervision, in a reproducible shuffled order.

    make_cuts.py OUT_CUTS --recordings A.jsonl.gz B.jsonl.gz --supervisions A.jsonl.gz B.jsonl.gz
    make_cuts.py OUT_CUTS --recordings NOISE.jsonl.gz MUSIC.jsonl.gz

The manifests may be those of any lhotse recipe; the n-th file of recordings belongs to the n-th of
supervisions. Without supervisions, for noise, there is a cut for each recording. The cuts are
sorted by a hash of their ids, because corpora are sorted by speaker and training shuffles only
within a buffer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

from lhotse import CutSet, RecordingSet, SupervisionSet
from lhotse.cut import Cut

from icefall_sampled.audio import SAMPLING_RATE
from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data.cuts import read_manifest
from icefall_sampled.files import replacing

logger = logging.getLogger(__name__)


def make_cuts(recordings: Path, supervisions: Path | None) -> Iterator[Cut]:
    """The cut of each supervision, under the supervision's id, or of each recording."""
    whole = CutSet.from_manifests(
        recordings=read_manifest(RecordingSet, recordings, argument="recordings").resample(
            SAMPLING_RATE
        ),
        supervisions=supervisions
        and read_manifest(SupervisionSet, supervisions, argument="supervisions"),
    )
    if supervisions is None:
        yield from (cut.with_id(cut.recording_id) for cut in whole)
        return
    for cut in whole.trim_to_supervisions(keep_overlapping=False):
        yield cut.with_id(cut.supervisions[0].id)


def by_hash(cut: Cut) -> str:
    """The sort key of cuts."""
    return hashlib.sha256(cut.id.encode()).hexdigest()


def main(
    out_cuts: Path,
    /,
    *,
    recordings: tuple[Path, ...],
    supervisions: tuple[Path, ...] = (),
) -> None:
    """Make cuts of recordings.

    Args:
        out_cuts: manifest to write.
        recordings: manifests of recordings.
        supervisions: manifests of supervisions in the same order; none for whole recordings.
    """
    if not recordings or len(supervisions) not in (0, len(recordings)):
        raise UserError(
            f"supervisions is {len(supervisions)} files, it must be one for each of the "
            f"{len(recordings)} files of recordings"
        )
    pairs = zip(recordings, supervisions or (None,) * len(recordings), strict=True)
    cuts = CutSet.from_cuts(
        sorted((cut for pair in pairs for cut in make_cuts(*pair)), key=by_hash)
    )
    with replacing(out_cuts) as temporary, CutSet.open_writer(temporary, overwrite=True) as writer:
        for cut in cuts:
            writer.write(cut)
    logger.info("%s: %d cuts", out_cuts, len(cuts))


if __name__ == "__main__":
    run_script(main)
