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

from pathlib import Path

from icefall_sampled.recipes import run_decoding
from icefall_sampled.small_recipes import SmallDecodeConfig

RECIPE = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    run_decoding(
        SmallDecodeConfig(exp_dir=RECIPE / "exp/example_ctc", data_dir=RECIPE / "data"),
        corpus="hsk",
        sets=("dev", "test-unseen"),
        description=__doc__,
    )
