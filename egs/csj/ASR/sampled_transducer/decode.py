#!/usr/bin/env python3
"""Decode the three evaluation sets of CSJ: greedy search over the 100 likeliest classes by CTC.

    decode.py --exp-dir exp/example_ctc_500
    decode.py --exp-dir exp/example_ctc_500 --sets eval1 eval2 --method time_sync_beam --nbest 10

eval1 and eval2 are academic presentations, as in training; eval3 is on everyday topics. The paper
reports character error rates. The texts have no spaces, so the word error rate is that of
sentences.
"""

from __future__ import annotations

from pathlib import Path

from icefall_sampled.recipes import run_decoding
from icefall_sampled.recipes.espnet import CharacterDecodeConfig

RECIPE = Path(__file__).resolve().parent.parent
TRAINED = RECIPE / "exp/example_ctc_500"

if __name__ == "__main__":
    default = CharacterDecodeConfig(exp_dir=TRAINED, data_dir=RECIPE / "data")
    sets = ("dev", "eval1", "eval2", "eval3")
    run_decoding(default, corpus="csj", sets=sets, description=__doc__)
