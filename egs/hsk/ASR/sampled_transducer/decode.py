#!/usr/bin/env python3
"""Decode dev and the words that training never heard.

    decode.py --exp-dir exp/example_ctc
    decode.py --exp-dir exp/example_ctc --ctc-top-k 100 --sets test-unseen
    decode.py --exp-dir exp/example_ctc --method time_sync_beam --beam 10 --nbest 5
    decode.py --exp-dir exp/characters_full --data-dir data_characters

The words of the transcripts are syllables: the word error rate counts these, and the sentence
error rate the words. The model is read from the checkpoints alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from icefall_sampled.recipes import RecipeDecodeConfig, run_decoding

RECIPE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Arguments(RecipeDecodeConfig):
    """How to decode, and what."""

    exp_dir: Path = RECIPE / "exp/example_ctc"
    """Folder of the training run; results go into it."""
    avg: int = 1
    """How many of the latest checkpoints to average; 0 takes the best on dev. The learning rate
    of this recipe ends at zero: the last checkpoint is better than its mean with earlier ones."""
    data_dir: Path = RECIPE / "data"
    """What prepare.sh made: data for syllables, data_characters for characters."""


if __name__ == "__main__":
    run_decoding(
        Arguments(),
        corpus="hsk",
        sets=("dev", "test-unseen"),
        description=__doc__,
    )
