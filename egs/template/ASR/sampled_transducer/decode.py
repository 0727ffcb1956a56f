#!/usr/bin/env python3
"""Decode dev and test of a corpus of your own.

    decode.py --exp-dir exp/mine --data-dir data/mine
    decode.py --exp-dir exp/mine --data-dir data/mine --method time_sync_beam --beam 10

The checkpoints alone determine the model.
"""

from __future__ import annotations

from icefall_sampled.recipes import RecipeDecodeConfig, run_decoding

if __name__ == "__main__":
    run_decoding(
        # The learning rate ends at zero: the last checkpoint needs no averaging.
        RecipeDecodeConfig(avg=1),
        corpus="template",
        sets=("dev", "test"),
        description=__doc__,
    )
