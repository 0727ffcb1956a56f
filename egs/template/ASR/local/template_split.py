"""Split cuts into train, dev and test, by speaker if enough speakers are known.

    template_split.py CUTS TRAIN DEV TEST [--percent 5]

A hash of the speaker, or of the utterance, decides the set and the order of the cuts: the same
input gives the same split everywhere. Dev and test get the same share, of at most an hour each.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import read_cuts
from icefall_sampled.files import replacing

LONGEST_HELD_OUT_SECONDS = 3600.0
ENOUGH_SPEAKERS = 10

logger = logging.getLogger(__name__)


def hashed(name: str) -> str:
    """The sort key."""
    return hashlib.sha256(name.encode()).hexdigest()


def units_of(cuts: list[Cut]) -> dict[str, list[Cut]]:
    """Groups that stay together: a speaker's cuts, or each cut if speakers are few or unknown."""
    speakers = {cut.supervisions[0].speaker for cut in cuts}
    by_speaker = None not in speakers and len(speakers) >= ENOUGH_SPEAKERS
    units: dict[str, list[Cut]] = {}
    for cut in sorted(cuts, key=lambda cut: hashed(cut.id)):
        units.setdefault(cut.supervisions[0].speaker if by_speaker else cut.id, []).append(cut)
    logger.info("split by %s", f"speaker ({len(units)})" if by_speaker else "utterance")
    return units


def split(cuts: list[Cut], *, percent: float) -> tuple[list[Cut], list[Cut], list[Cut]]:
    """Train, dev and test; the last two have at least one cut each.

    Raises:
        UserError: if there are too few cuts for that.
    """
    units = units_of(cuts)
    if len(units) < 3:
        raise UserError(f"there are {len(units)} utterances, there must be at least 3 to split")
    wanted = min(percent / 100 * sum(cut.duration for cut in cuts), LONGEST_HELD_OUT_SECONDS)
    order = sorted(units, key=hashed)
    held_out: list[list[Cut]] = []
    for sets_after in (2, 1):  # dev leaves groups for test and train, test for train
        part: list[Cut] = []
        while not part or (sum(cut.duration for cut in part) < wanted and len(order) > sets_after):
            part += units[order.pop(0)]
        held_out.append(part)
    train = [cut for name in order for cut in units[name]]
    return sorted(train, key=lambda cut: hashed(cut.id)), held_out[0], held_out[1]


def main(cuts: Path, train: Path, dev: Path, test: Path, /, *, percent: float = 5.0) -> None:
    """Split cuts into train, dev and test.

    Args:
        cuts: manifest to split.
        train: manifest to write.
        dev: manifest to write.
        test: manifest to write.
        percent: share of the speech in dev, and in test.
    """
    if not 0 < percent < 50:
        raise UserError(f"--percent is {percent:g}, it must be between 0 and 50")
    parts = split(list(read_cuts(cuts, argument="CUTS")), percent=percent)
    for path, part in zip((train, dev, test), parts, strict=True):
        with replacing(path) as temporary:
            CutSet.from_cuts(part).to_file(temporary)
        hours = sum(cut.duration for cut in part) / 3600
        logger.info("%s: %d cuts, %.3f hours", path.name, len(part), hours)


if __name__ == "__main__":
    run_script(main)
