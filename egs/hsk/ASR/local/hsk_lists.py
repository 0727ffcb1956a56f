"""Stage 2, only if lists are wanted: utterances of two to eight training words.

It writes DATA_DIR/manifests/hsk_cuts_raw_SET.jsonl.gz:

    train         the single words of training, and lists of them
    test-lists    lists of the same words that are in no other set

Each recording in test-lists also occurs in training; only the combinations are new. No list has the
consecutive syllables of a word of dev or test-unseen, unless that word has one syllable: if 以外 is
held out, 外 does not follow 以. local/composing.py of the repository joins the words.
"""

from __future__ import annotations

import random
from pathlib import Path

from hsk_sets import PERCENT, runs_in
from lhotse import SupervisionSet
from lhotse.cut import Cut, MonoCut

from icefall_sampled.cli import run_script
from icefall_sampled.data.cuts import read_cuts, read_manifest
from local.composing import Composer, Deck, write_sets

MAX_WORDS = 8
TEST_SECONDS = 720.0


class Lists(Composer):
    """Draws lists of words, each word about equally often.

    Args:
        words: the training words.
        held_out: sequences of syllables that no list may contain.
        seed: of the random choices.
    """

    def __init__(self, words: dict[str, MonoCut], *, held_out: set[str], seed: int) -> None:
        super().__init__(words, said=set(), name="lists", seed=seed)
        self.held_out = held_out

    def draw(self, deck: Deck, rng: random.Random) -> list[str]:
        """Draw any words."""
        return self.draw_any(deck, rng, max_parts=MAX_WORDS)

    def is_new(self, names: list[str]) -> bool:
        """Whether the text is new, and contains no held-out word."""
        syllables = (syllables_in(self.parts[name]) for name in names)
        return super().is_new(names) and not runs_in(" ".join(syllables)) & self.held_out


def syllables_in(word: Cut) -> str:
    """The syllables of a single word, also if its text is in characters."""
    return str(word.supervisions[0].custom["syllables"])


def main(words: Path, manifest_dir: Path, /, *, hours: float, seed: int = 42) -> None:
    """Compose the lists, and write the sets that contain some.

    Args:
        words: manifest of the cuts of the training words.
        manifest_dir: folder with the sets of `hsk_sets.py`, and for the lists.
        hours: lists to train on.
        seed: of the random choices.
    """
    singles: list[MonoCut] = list(read_cuts(words, argument="WORDS"))
    held_out = {
        str(word.custom["syllables"])
        for name in PERCENT
        for path in [manifest_dir / f"hsk_supervisions_{name}.jsonl.gz"]
        for word in read_manifest(SupervisionSet, path, argument="the manifest")
    }
    composer = Lists({cut.id: cut for cut in singles}, held_out=held_out, seed=seed)
    train = composer.compose("train", seconds=hours * 3600)
    test = composer.compose("test", seconds=TEST_SECONDS)
    write_sets({"train": [*singles, *train], "test-lists": [*test]}, manifest_dir, corpus="hsk")


if __name__ == "__main__":
    run_script(main)
