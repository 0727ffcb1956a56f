"""Stage 2: the words of train, dev and test-unseen.

    DATA_DIR/manifests/hsk_supervisions_SET.jsonl.gz

`dev` and `test-unseen` hold words of which training hears nothing, but whose units (syllables or
characters) all stand in at least three words of training: what is asked is whether the units are
found in new company. Homophones sound alike, so words of the same syllables are always in the same
set. Which set is decided by a hash of the syllables: another word moves none, with two exceptions.
A word goes to training where one of its units is too rare there, and where training has a longer
word with its syllables in a row: 作物 is heard in 农作物. Words of one syllable are not moved: that
one is heard in other words, as each syllable of a longer word is.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

from hsk_manifests import Units
from lhotse import SupervisionSegment, SupervisionSet

from icefall_sampled.script import run_script

PERCENT = {"test-unseen": 5, "dev": 5}
"""Of all sequences of syllables; some go to training after all, see above."""
MIN_TRAINING_WORDS = 3

logger = logging.getLogger(__name__)


def units_of(word: SupervisionSegment, units: Units) -> list[str]:
    """The syllables or characters of a word."""
    return str(word.custom["syllables"]).split() if units == "syllables" else [*word.text]


def set_of(syllables: str) -> str:
    """The set that the words of these syllables are meant for."""
    digest = hashlib.sha256(syllables.encode()).digest()
    number = int.from_bytes(digest[:8], "big") % 100
    for name, percent in PERCENT.items():
        if number < percent:
            return name
        number -= percent
    return "train"


def count_words(words: list[SupervisionSegment], units: Units) -> Counter[str]:
    """In how many words each unit stands."""
    return Counter(unit for word in words for unit in {*units_of(word, units)})


def runs_in(syllables: str) -> set[str]:
    """Two syllables or more that stand in a row: `a b c` has `a b`, `b c` and `a b c`."""
    parts = syllables.split()
    return {
        " ".join(parts[start:end])
        for start in range(len(parts))
        for end in range(start + 2, len(parts) + 1)
    }


def heard_inside(held_out: set[str], trained: set[str]) -> set[str]:
    """Those of the held-out sequences that stand in one of training, or in another that does."""
    heard: set[str] = set().union(*map(runs_in, trained))
    found = set()
    # The longest first: what goes to training may hold shorter ones.
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
        manifest_dir: where stage 1 wrote its manifests; these go there too.
        units: what the texts are made of.
    """
    words = list(SupervisionSet.from_file(manifest_dir / "hsk_supervisions.jsonl.gz"))
    for name, chosen in split(words, units).items():
        if not chosen:
            raise ValueError(f"{name} would be empty: there are too few words, {len(words)}")
        path = manifest_dir / f"hsk_supervisions_{name}.jsonl.gz"
        SupervisionSet.from_segments(chosen).to_file(path)
        minutes = sum(word.duration for word in chosen) / 60
        logger.info("%s: %d words, %.1f minutes", name, len(chosen), minutes)


if __name__ == "__main__":
    run_script(main)
