#!/usr/bin/env python3
"""Decode dev and the two test sets of the announcements.

    decode.py --exp-dir exp/example_ctc
    decode.py --exp-dir exp/example_ctc --ctc-top-k 100 --sets test-announce

`test-announce` holds sentences that training never composed, from recordings that it heard;
`test-unseen` prompts of which it heard nothing. The model is read from the checkpoints alone.
"""

from __future__ import annotations

from pathlib import Path

from icefall_sampled import cli
from icefall_sampled.decoding.program import DecodeConfig, decode

RECIPE = Path(__file__).resolve().parent.parent


def main() -> None:
    """Read the command line, decode, and print one line a set."""
    config = cli.parse(DecodeConfig(exp_dir=RECIPE / "exp/example_ctc"), description=__doc__ or "")
    sets = {
        name: RECIPE / f"data/fbank/asterisk_cuts_{name}.jsonl.gz"
        for name in ("dev", "test-announce", "test-unseen")
    }
    for name, score in decode(config, sets).items():
        print(
            f"{name}\tWER {score.words.percent:.2f}\tCER {score.characters.percent:.2f}"
            f"\treal-time factor {score.real_time_factor:.4f}"
        )


if __name__ == "__main__":
    cli.run(main)
