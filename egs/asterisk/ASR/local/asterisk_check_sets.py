"""Stage 5: check that the sets keep their promises.

- no sentence is in two of train, dev, test-announce and test-unseen;
- training, dev and test-announce use no recording that is held out, and test-unseen only such;
- dev and test-announce use only recordings that training hears.

It reads the raw manifests, because these still say which recordings an announcement is made of.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_sampled.script import run_script
from local.composing import recordings_of

SETS = ("train", "dev", "test-announce", "test-unseen")

logger = logging.getLogger(__name__)


def sentences_of(cuts: list[Cut]) -> set[tuple[str, str]]:
    """What is said, with its language."""
    return {(s.language, s.text) for cut in cuts for s in cut.supervisions}


def check_sets(sets: dict[str, list[Cut]]) -> None:
    """Check the promises.

    Raises:
        ValueError: that says which is broken, with an example.
    """
    sentences = {name: sentences_of(cuts) for name, cuts in sets.items()}
    for one, other in itertools.combinations(SETS, 2):
        if both := sentences[one] & sentences[other]:
            raise ValueError(f"{one} and {other} share {len(both)} sentences, e.g. {min(both)}")
    heard = {
        name: set().union(*(recordings_of(cut) for cut in cuts)) for name, cuts in sets.items()
    }
    for name in ("train", "dev", "test-announce"):
        if leaked := heard[name] & heard["test-unseen"]:
            raise ValueError(f"{name} uses recordings held out for test-unseen: {min(leaked)}")
    for name in ("dev", "test-announce"):
        if unknown := heard[name] - heard["train"]:
            raise ValueError(f"{name} uses recordings that training never hears: {min(unknown)}")


def main(*, data_dir: Path = Path("data")) -> None:
    """Check that the sets keep their promises.

    Args:
        data_dir: where stage 2 wrote its manifests.
    """
    sets = {}
    for name in SETS:
        path = data_dir / "manifests" / f"asterisk_cuts_raw_{name}.jsonl.gz"
        if not path.is_file():
            raise ValueError(f"{path} is not there: run stage 2 first")
        sets[name] = list(CutSet.from_file(path))
    check_sets(sets)
    logger.info("the sets are disjoint as promised")


if __name__ == "__main__":
    run_script(main)
