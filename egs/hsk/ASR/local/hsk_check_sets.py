"""Stage 5: check the properties of the sets.

- no recording and no sequence of syllables is in two of train, dev and test-unseen;
- no word of two or more syllables of dev and test-unseen is part of a training word;
- every unit of dev and test-unseen occurs in at least three training words;
- lists, if there are any, consist of training words, test-lists has no list of training, and no
  list contains a word of two or more syllables of dev and test-unseen.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from hsk_lists import syllables_in
from hsk_manifests import Units
from hsk_sets import MIN_TRAINING_WORDS, count_words, heard_inside, units_of
from lhotse import SupervisionSegment
from lhotse.cut import Cut, MixedCut

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data import read_cuts, text_of
from local.composing import recordings_of

SETS = ("train", "dev", "test-unseen")

logger = logging.getLogger(__name__)


def check_sets(sets: dict[str, list[SupervisionSegment]], units: Units) -> None:
    """Check the properties.

    Raises:
        UserError: if one does not hold; the message gives an example.
    """
    for one, other in itertools.combinations(SETS, 2):
        for kind, found in (
            ("recordings", lambda word: word.recording_id),
            ("sequences of syllables", lambda word: word.custom["syllables"]),
        ):
            if both := {*map(found, sets[one])} & {*map(found, sets[other])}:
                raise UserError(f"{one} and {other} share {len(both)} {kind}, e.g. {min(both)}")
    known = count_words(sets["train"], units)
    trained = {word.custom["syllables"] for word in sets["train"]}
    for name in SETS[1:]:
        if inside := heard_inside({word.custom["syllables"] for word in sets[name]}, trained):
            raise UserError(
                f"{name} has {len(inside)} sequences of syllables that stand in words of training, "
                f"e.g. {min(inside)}"
            )
        rare = {
            unit
            for word in sets[name]
            for unit in units_of(word, units)
            if known[unit] < MIN_TRAINING_WORDS
        }
        if rare:
            raise UserError(
                f"{name} has {len(rare)} {units} that stand in fewer than {MIN_TRAINING_WORDS} "
                f"words of training, e.g. {min(rare)}"
            )


def check_lists(
    words: list[Cut], train: list[MixedCut], test: list[MixedCut], *, held_out: set[str]
) -> None:
    """Check the properties of the lists.

    Args:
        words: the single words of training.
        train: the lists of training.
        test: the lists of test-lists.
        held_out: sequences of syllables of dev and test-unseen.

    Raises:
        UserError: if one does not hold; the message gives an example.
    """
    syllables = {file: syllables_in(cut) for cut in words for file in recordings_of(cut)}
    for name, lists in (("train", train), ("test-lists", test)):
        spoken = [[f for track in cut.tracks for f in recordings_of(track.cut)] for cut in lists]
        if unknown := set().union(*spoken) - set(syllables):
            raise UserError(f"{name} has lists of other words, e.g. {min(unknown)}")
        said = {" ".join(syllables[file] for file in files) for files in spoken}
        if inside := heard_inside(held_out, said):
            raise UserError(
                f"{name} has lists with {len(inside)} held-out words in them, e.g. {min(inside)}"
            )
    if both := {*map(text_of, train)} & {*map(text_of, test)}:
        raise UserError(f"train and test-lists share {len(both)} lists, e.g. {min(both)}")


def main(*, data_dir: Path = Path("data"), units: Units = "syllables", lists: bool = False) -> None:
    """Check the properties of the sets.

    Args:
        data_dir: folder with the manifests of stage 2.
        units: the units of the texts.
        lists: whether there are also lists of words.
    """

    def read(name: str) -> list[Cut]:
        path = data_dir / "manifests" / f"hsk_cuts_raw_{name}.jsonl.gz"
        return list(read_cuts(path, argument=name))

    cuts = {name: read(name) for name in SETS}
    composed = [cut for cut in cuts["train"] if isinstance(cut, MixedCut)]
    cuts["train"] = [cut for cut in cuts["train"] if not isinstance(cut, MixedCut)]
    check_sets({name: [cut.supervisions[0] for cut in cuts[name]] for name in SETS}, units)
    held_out = {syllables_in(cut) for name in SETS[1:] for cut in cuts[name]}
    check_lists(cuts["train"], composed, read("test-lists") if lists else [], held_out=held_out)
    logger.info("the sets share no word, and training knows the %s of all", units)


if __name__ == "__main__":
    run_script(main)
