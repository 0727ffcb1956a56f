#!/usr/bin/env python3
"""Decode dev and the two test sets of the announcements.

    decode.py --exp-dir exp/example_ctc
    decode.py --exp-dir exp/example_ctc --ctc-top-k 100 --sets test-announce

`test-announce` holds sentences that training never composed, from recordings that it heard;
`test-unseen` prompts of which it heard nothing. The model is read from the checkpoints alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from icefall_sampled import cli
from icefall_sampled.decoding.program import DecodeConfig, decode

RECIPE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Arguments(DecodeConfig):
    """How to decode, and what."""

    exp_dir: Path = RECIPE / "exp/example_ctc"
    """Folder of the training run; results go into it."""
    avg: int = 1
    """How many of the latest checkpoints to average; 0 takes the best on dev. The learning rate
    of this recipe ends at zero: the last checkpoint is better than its mean with earlier ones."""
    data_dir: Path = RECIPE / "data"
    """What prepare.sh made: data for English, data_all for the five languages."""


def main() -> None:
    """Read the command line, decode, and print one line a set."""
    config = cli.parse(Arguments(), description=__doc__ or "")
    sets = {
        name: config.data_dir / f"fbank/asterisk_cuts_{name}.jsonl.gz"
        for name in ("dev", "test-announce", "test-unseen")
    }
    for name, score in decode(config, sets).items():
        print(
            f"{name}\tWER {score.words.percent:.2f}\tCER {score.characters.percent:.2f}"
            f"\treal-time factor {score.real_time_factor:.4f}"
        )


if __name__ == "__main__":
    cli.run(main)
