#!/usr/bin/env python3
"""Decode dev and the two test sets of the announcements.

    decode.py --exp-dir exp/example_ctc
    decode.py --exp-dir exp/example_ctc --ctc-top-k 100 --sets test-announce
    decode.py --exp-dir exp/example_ctc --method time_sync_beam --beam 10 --nbest 5
    decode.py --exp-dir exp/stateless --method fast_beam   # trained with --predictor.kind stateless

`test-announce` holds sentences that training never composed, from recordings that it heard;
`test-unseen` prompts of which it heard nothing. The model is read from the checkpoints alone.
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
    """What prepare.sh made: data for English, data_all for the five languages."""


if __name__ == "__main__":
    run_decoding(
        Arguments(),
        corpus="asterisk",
        sets=("dev", "test-announce", "test-unseen"),
        description=__doc__,
    )
