#!/usr/bin/env python3
"""Decode dev and test of AISHELL-1 as in the paper: greedy search over the 100 likeliest classes.

    decode.py --exp-dir exp/example_ctc_500
    decode.py --exp-dir exp/example_ctc_500 --ctc-top-k 0 --sets test    # without the constraint
    decode.py --exp-dir exp/example_ctc_500 --method time_sync_beam --beam 10

The paper's figures are character error rates. The checkpoints alone determine the model.
"""

from __future__ import annotations

from pathlib import Path

from icefall_sampled.recipes import run_decoding
from icefall_sampled.recipes.espnet import CharacterDecodeConfig

RECIPE = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    run_decoding(
        CharacterDecodeConfig(exp_dir=RECIPE / "exp/example_ctc_500", data_dir=RECIPE / "data"),
        corpus="aishell",
        sets=("dev", "test"),
        description=__doc__,
    )
