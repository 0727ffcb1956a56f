#!/usr/bin/env python3
"""Train a Conformer transducer on CSJ-APS: 271 hours of academic presentations in Japanese.

What is special here: spontaneous speech with its fillers and repetitions, in kanji and kana. The
variants are the rows of the paper's Table 2, and run_table.sh trains and scores them all.

    train.py example_ctc_500 --exp-dir exp/example_ctc_500

samples from joint CTC, 18 % of the classes (paper: 5.3 / 4.0 / 9.5 % on eval1 / eval2 / eval3).
`example_ctc_500_large_batch` uses the freed memory for larger batches, and is the best row
(5.1 / 3.7 / 9.1 %); `full` is the baseline (5.3 / 3.9 / 9.5 %). `pruned` is not in the paper: the
baseline with k2's pruned loss.

Classes: the paper has 2,753 with blank. Here they are blank, `<unk>`, and the characters of the
training utterances, which prepare.sh counts when it makes the table. Expect one more for `<unk>`.
Other differences come from the text: from the choice of training sessions and utterances
(local/csj_manifests.py), and because full-width letters are kept.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled.config import Config, TrainingConfig
from icefall_sampled.recipes import in_folders, run_training
from icefall_sampled.recipes.espnet import BATCH_SECONDS, espnet_transducer, table_two

RECIPE = Path(__file__).resolve().parent.parent


def base() -> Config:
    """The model of the AISHELL recipe, for 50 epochs of 700 hours, perturbed copies included."""
    epoch_steps = 4_500  # of four batches of 144 seconds
    training = TrainingConfig(
        max_steps=50 * epoch_steps, checkpoint_every_steps=epoch_steps, keep_checkpoints=10
    )
    return replace(espnet_transducer(RECIPE, corpus="csj"), training=training)


def large_batch(config: Config, *, factor: int = 4) -> Config:
    """The same number of epochs in batches that are `factor` times as large.

    The paper gives neither their size nor the learning rate. Here the learning rate grows with the
    square root of the batch size, and the warm-up takes as many utterances as before.
    """
    optimizer, training = config.optimizer, config.training
    return replace(
        config,
        data=replace(config.data, max_duration_seconds=factor * BATCH_SECONDS),
        optimizer=replace(
            optimizer,
            learning_rate=optimizer.learning_rate * factor**0.5,
            warmup_steps=optimizer.warmup_steps // factor,
        ),
        training=replace(
            training,
            max_steps=training.max_steps // factor,
            checkpoint_every_steps=training.checkpoint_every_steps // factor,
        ),
    )


def variants() -> dict[str, Config]:
    """The rows of Table 2, and k2's pruned loss."""
    named = table_two(base())
    named["example_ctc_500_large_batch"] = large_batch(named["example_ctc_500"])
    return in_folders(named, RECIPE / "exp")


if __name__ == "__main__":
    run_training(variants(), base=base(), description=__doc__)
