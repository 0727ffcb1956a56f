#!/usr/bin/env python3
"""Decode dev, the unseen words, and test-lists if it was prepared.

    decode.py --exp-dir exp/example_ctc
    decode.py --exp-dir exp/example_ctc --ctc-top-k 100 --sets test-unseen
    decode.py --exp-dir exp/example_ctc --method time_sync_beam --beam 10 --nbest 5
    decode.py --exp-dir exp/characters_full --data-dir data_characters

Spaces separate syllables, so the word error rate is that of syllables; the table of run_table.sh
has the number of wrong words. The checkpoints alone determine the model.
"""

from __future__ import annotations

from pathlib import Path

from icefall_sampled.recipes import run_decoding
from icefall_sampled.recipes.small import SmallDecodeConfig

RECIPE = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    run_decoding(
        SmallDecodeConfig(exp_dir=RECIPE / "exp/example_ctc", data_dir=RECIPE / "data"),
        corpus="hsk",
        sets=("dev", "test-unseen"),
        optional_sets=("test-lists",),
        description=__doc__,
    )
