"""Stage 2, where lists are asked for: utterances of two to eight words of training.

Written to DATA_DIR/manifests/hsk_cuts_raw_SET.jsonl.gz:

    train         the single words of training, and lists of them
    test-lists    lists of the same words that no other set has

Training heard each of the recordings in test-lists; only what stands beside it is new. How words
are joined stands in local/composing.py of the repository.
"""

from __future__ import annotations

import random
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut

from icefall_sampled.script import run_script
from local.composing import Composer, Deck, write_sets

MAX_WORDS = 8
TEST_SECONDS = 720.0


class Lists(Composer):
    """Draws lists of words, each word about as often."""

    def draw(self, deck: Deck, rng: random.Random) -> list[str]:
        """Any words."""
        return self.draw_any(deck, rng, max_parts=MAX_WORDS)


def main(words: Path, manifest_dir: Path, /, *, hours: float, seed: int = 42) -> None:
    """Compose the lists, and write the sets that have some.

    Args:
        words: manifest of the cuts of the words that training hears.
        manifest_dir: folder to write to.
        hours: lists to train on.
        seed: another seed, other lists.
    """
    singles: list[Cut] = list(CutSet.from_file(words))
    composer = Lists({cut.id: cut for cut in singles}, said=set(), name="lists", seed=seed)
    train = composer.compose("train", seconds=hours * 3600)
    test = composer.compose("test", seconds=TEST_SECONDS)
    write_sets({"train": [*singles, *train], "test-lists": [*test]}, manifest_dir, corpus="hsk")


if __name__ == "__main__":
    run_script(main)
