#!/usr/bin/env python3
"""Train a Conformer transducer on AISHELL-1: 150 hours of read Mandarin, in characters.

What is special here: a vocabulary of over 4,000 characters; an utterance has about 14. The
variants are the rows of the paper's Table 2, and run_table.sh trains and scores them all.

    train.py example_ctc_500 --exp-dir exp/example_ctc_500

samples from joint CTC, 12 % of the classes (paper: 4.4 / 4.9 % on dev / test);
`example_ctc_500_interctc` is the best row (4.2 / 4.6 %), and `full` is the baseline (4.4 / 4.8 %).
`pruned` is not in the paper: the baseline with k2's pruned loss.

Classes: the paper has 4,231 with blank. Here they are blank, `<unk>` and the characters of the
training transcripts: expect 4,232 if these are 4,230. The additional class is `<unk>`, which is no
label of any training utterance. prepare.sh prints the number when it makes the table, and so does
`wc -l data/lang_char/tokens.txt`. If the number differs, the transcripts differ: dev and test have
characters that training does not have, which a table of the whole corpus would include, and lhotse
writes letters in capitals.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled.config import Config, TrainingConfig
from icefall_sampled.recipes import in_folders, run_training
from icefall_sampled.recipes.espnet import espnet_transducer, table_two

RECIPE = Path(__file__).resolve().parent.parent


def base() -> Config:
    """ESPnet's recipe: 100 epochs of 450 hours each, speed-perturbed copies included."""
    epoch_steps = 2_800  # of four batches of 144 seconds
    return replace(
        espnet_transducer(RECIPE, corpus="aishell"),
        training=TrainingConfig(
            max_steps=100 * epoch_steps, checkpoint_every_steps=epoch_steps, keep_checkpoints=10
        ),
    )


def variants() -> dict[str, Config]:
    """The rows of Table 2, and k2's pruned loss."""
    return in_folders(table_two(base()), RECIPE / "exp")


if __name__ == "__main__":
    run_training(variants(), base=base(), description=__doc__)
