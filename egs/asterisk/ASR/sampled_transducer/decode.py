#!/usr/bin/env python3
"""Decode dev and the two test sets of the announcements.

    decode.py --exp-dir exp/example_ctc
    decode.py --exp-dir exp/example_ctc --ctc-top-k 100 --sets test-announce
    decode.py --exp-dir exp/example_ctc --method time_sync_beam --beam 10 --nbest 5
    decode.py --exp-dir exp/stateless --method fast_beam   # trained with --predictor.kind stateless

`test-announce` has new sentences, composed of recordings that occur in training; `test-unseen` has
prompts that do not occur in training. The checkpoints alone determine the model.
"""

from __future__ import annotations

from pathlib import Path

from icefall_sampled.recipes import run_decoding
from icefall_sampled.recipes.small import SmallDecodeConfig

RECIPE = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    run_decoding(
        SmallDecodeConfig(exp_dir=RECIPE / "exp/example_ctc", data_dir=RECIPE / "data"),
        corpus="asterisk",
        sets=("dev", "test-announce", "test-unseen"),
        description=__doc__,
    )
