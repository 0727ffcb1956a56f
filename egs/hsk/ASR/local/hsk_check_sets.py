"""Stage 5: check that the sets keep their promises.

- no recording and no sequence of syllables is in two of train, dev and test-unseen;
- every unit of dev and test-unseen stands in at least three words of training.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from hsk_manifests import Units
from hsk_sets import MIN_TRAINING_WORDS, count_words, units_of
from lhotse import CutSet, SupervisionSegment

from icefall_sampled.script import run_script

SETS = ("train", "dev", "test-unseen")

logger = logging.getLogger(__name__)


def check_sets(sets: dict[str, list[SupervisionSegment]], units: Units) -> None:
    """Check the promises.

    Raises:
        ValueError: that says which is broken, with an example.
    """
    for one, other in itertools.combinations(SETS, 2):
        for kind, found in (
            ("recordings", lambda word: word.recording_id),
            ("sequences of syllables", lambda word: word.custom["syllables"]),
        ):
            if both := {*map(found, sets[one])} & {*map(found, sets[other])}:
                raise ValueError(f"{one} and {other} share {len(both)} {kind}, e.g. {min(both)}")
    known = count_words(sets["train"], units)
    for name in SETS[1:]:
        rare = {
            unit
            for word in sets[name]
            for unit in units_of(word, units)
            if known[unit] < MIN_TRAINING_WORDS
        }
        if rare:
            raise ValueError(
                f"{name} has {len(rare)} {units} that stand in fewer than {MIN_TRAINING_WORDS} "
                f"words of training, e.g. {min(rare)}"
            )


def main(*, data_dir: Path = Path("data"), units: Units = "syllables") -> None:
    """Check that the sets keep their promises.

    Args:
        data_dir: where stage 2 wrote its manifests.
        units: what the texts are made of.
    """
    sets = {}
    for name in SETS:
        cuts = CutSet.from_file(data_dir / "manifests" / f"hsk_cuts_raw_{name}.jsonl.gz")
        sets[name] = [cut.supervisions[0] for cut in cuts]
    check_sets(sets, units)
    logger.info("the sets share no word, and training knows the %s of all", units)


if __name__ == "__main__":
    run_script(main)
