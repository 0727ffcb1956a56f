"""Stage 5: check the properties of the sets.

- no sentence is in two of train, dev, test-announce and test-unseen;
- train, dev and test-announce use no held-out recordings, and test-unseen uses only held-out ones;
- dev and test-announce use only recordings that occur in training.

It reads the raw manifests, because these still list the recordings of an announcement.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from lhotse.cut import Cut

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import read_cuts
from local.composing import recordings_of

SETS = ("train", "dev", "test-announce", "test-unseen")

logger = logging.getLogger(__name__)


def sentences_of(cuts: list[Cut]) -> set[tuple[str, str]]:
    """The texts, with their language."""
    return {(s.language, s.text) for cut in cuts for s in cut.supervisions}


def check_sets(sets: dict[str, list[Cut]]) -> None:
    """Check the properties.

    Raises:
        UserError: if one does not hold; the message gives an example.
    """
    sentences = {name: sentences_of(cuts) for name, cuts in sets.items()}
    for one, other in itertools.combinations(SETS, 2):
        if both := sentences[one] & sentences[other]:
            raise UserError(f"{one} and {other} share {len(both)} sentences, e.g. {min(both)}")
    heard = {
        name: set().union(*(recordings_of(cut) for cut in cuts)) for name, cuts in sets.items()
    }
    for name in ("train", "dev", "test-announce"):
        if leaked := heard[name] & heard["test-unseen"]:
            raise UserError(f"{name} uses recordings held out for test-unseen: {min(leaked)}")
    for name in ("dev", "test-announce"):
        if unknown := heard[name] - heard["train"]:
            raise UserError(f"{name} uses recordings that training never hears: {min(unknown)}")


def main(*, data_dir: Path = Path("data")) -> None:
    """Check the properties of the sets.

    Args:
        data_dir: folder with the manifests of stage 2.
    """
    sets = {}
    for name in SETS:
        path = data_dir / "manifests" / f"asterisk_cuts_raw_{name}.jsonl.gz"
        if not path.is_file():
            raise UserError(f"{path} is not there: run stage 2 first")
        sets[name] = list(read_cuts(path, argument=name))
    check_sets(sets)
    logger.info("the sets are disjoint as promised")


if __name__ == "__main__":
    run_script(main)
