#!/usr/bin/env python3
"""Decode dev-clean, dev-other, test-clean and test-other.

    decode.py --exp-dir exp/example_scctc_300of2000 --method beam --beam 10
    decode.py --exp-dir exp/example_scctc_300of2000 --sets test-clean test-other --ctc-top-k 300

The first command decodes as the paper in Table 1, and so does run_table.sh. This search decodes one
utterance after the other; `--method time_sync_beam` decodes whole batches, and greedy search, the
default, is the fastest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from icefall_sampled.recipes import RecipeDecodeConfig, run_decoding

RECIPE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Arguments(RecipeDecodeConfig):
    """What to decode, and how."""

    exp_dir: Path = RECIPE / "exp/example_scctc_300of2000"
    """Folder of the training run; results go into it."""
    avg: int = 10
    """How many of the latest checkpoints to average; 0 takes the best on dev."""
    data_dir: Path = RECIPE / "data"
    """Folder of the data from prepare.sh: the four sets are the same in all its folders."""


if __name__ == "__main__":
    run_decoding(
        Arguments(),
        corpus="librispeech",
        sets=("dev-clean", "dev-other", "test-clean", "test-other"),
        description=__doc__,
    )
