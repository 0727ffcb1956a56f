"""Stage 2: the words of train, dev and test-unseen.

    DATA_DIR/manifests/hsk_supervisions_SET.jsonl.gz

The words of `dev` and `test-unseen` do not occur in training, but each of their units (syllables or
characters) occurs in at least three training words: they test whether the units are recognised in
new combinations. Homophones sound alike, so words with the same syllables are always in the same
set. A hash of the syllables chooses the set, so a new word does not move others, with two
exceptions. A word goes to training if one of its units is too rare there, and if training has a
longer word with its consecutive syllables: 作物 is part of 农作物. Words of one syllable are not
moved for the second reason: their syllable occurs in other words, as each syllable of a longer word
does.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

from hsk_manifests import Units
from lhotse import SupervisionSegment, SupervisionSet

from icefall_sampled.cli import UserError, run_script
from icefall_sampled.data.cuts import read_manifest

PERCENT = {"test-unseen": 5, "dev": 5}
"""Percent of all sequences of syllables; some are moved to training, see above."""
MIN_TRAINING_WORDS = 3

logger = logging.getLogger(__name__)


def units_of(word: SupervisionSegment, units: Units) -> list[str]:
    """The syllables or characters of a word."""
    return str(word.custom["syllables"]).split() if units == "syllables" else [*word.text]


def set_of(syllables: str) -> str:
    """The set of the words with these syllables, before some are moved to training."""
    digest = hashlib.sha256(syllables.encode()).digest()
    number = int.from_bytes(digest[:8], "big") % 100
    for name, percent in PERCENT.items():
        if number < percent:
            return name
        number -= percent
    return "train"


def count_words(words: list[SupervisionSegment], units: Units) -> Counter[str]:
    """The number of words in which each unit occurs."""
    return Counter(unit for word in words for unit in {*units_of(word, units)})


def runs_in(syllables: str) -> set[str]:
    """Runs of two or more consecutive syllables: `a b c` has `a b`, `b c` and `a b c`."""
    parts = syllables.split()
    return {
        " ".join(parts[start:end])
        for start in range(len(parts))
        for end in range(start + 2, len(parts) + 1)
    }


def heard_inside(held_out: set[str], trained: set[str]) -> set[str]:
    """The held-out sequences that are part of a training sequence, or of another found one."""
    heard: set[str] = set().union(*map(runs_in, trained))
    found = set()
    # The longest first: a sequence that goes to training may contain shorter ones.
    for syllables in sorted(held_out, key=lambda s: len(s.split()), reverse=True):
        if syllables in heard:
            found.add(syllables)
            heard |= runs_in(syllables)
    return found


def split(words: list[SupervisionSegment], units: Units) -> dict[str, list[SupervisionSegment]]:
    """The words of each set."""
    sets: dict[str, list[SupervisionSegment]] = {name: [] for name in ("train", *PERCENT)}
    for word in words:
        sets[set_of(word.custom["syllables"])].append(word)
    known = count_words(sets["train"], units)
    # Homophones go to training together: they share the syllables, but may differ in characters.
    moved = {
        word.custom["syllables"]
        for name in PERCENT
        for word in sets[name]
        if any(known[unit] < MIN_TRAINING_WORDS for unit in units_of(word, units))
    }
    trained = moved | {word.custom["syllables"] for word in sets["train"]}
    held_out = {word.custom["syllables"] for name in PERCENT for word in sets[name]} - moved
    moved |= heard_inside(held_out, trained)
    for name in PERCENT:
        sets["train"] += [word for word in sets[name] if word.custom["syllables"] in moved]
        sets[name] = [word for word in sets[name] if word.custom["syllables"] not in moved]
    return sets


def main(manifest_dir: Path, /, *, units: Units = "syllables") -> None:
    """Write the words of each set.

    Args:
        manifest_dir: folder with the manifests of stage 1, and for those of the sets.
        units: the units of the texts.
    """
    path = manifest_dir / "hsk_supervisions.jsonl.gz"
    words = list(read_manifest(SupervisionSet, path, argument="the manifest"))
    for name, chosen in split(words, units).items():
        if not chosen:
            raise UserError(f"{name} would be empty: there are too few words, {len(words)}")
        path = manifest_dir / f"hsk_supervisions_{name}.jsonl.gz"
        SupervisionSet.from_segments(chosen).to_file(path)
        minutes = sum(word.duration for word in chosen) / 60
        logger.info("%s: %d words, %.1f minutes", name, len(chosen), minutes)


if __name__ == "__main__":
    run_script(main)
