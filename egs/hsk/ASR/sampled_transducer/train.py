#!/usr/bin/env python3
"""Train a small Conformer transducer on single Mandarin words, in toned syllables.

What is special here: two hours of one speaker, one word an utterance, and a test set that cannot be
memorised: its words do not occur in training, and each of their syllables occurs in at least three
training words. There are about 1,090 syllables; a word has two. CTC needs a small learning rate and
a quarter of the training to leave its plateau; the transducer starts then.

    train.py example_ctc --exp-dir exp/example_ctc

is the paper's method (negatives for each utterance from its own joint CTC posterior), and the
variant that run.sh trains. A variant is named by its softmax, then by its auxiliary losses besides
joint CTC: `full` is the baseline, `full_scctc` the baseline with self-conditioned CTC, `full_noaux`
the transducer alone. A number at the end is K, classes in the softmax, if it is not 100. The prefix
`characters_` means the same in characters, with 300 of 2,862 classes in the softmax
(`prepare.sh --units characters`). The same command again continues an interrupted run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled import recipes
from icefall_sampled.config import Config, LossConfig, TrainingConfig
from icefall_sampled.recipes.small import small_transducer, with_classes, with_data

RECIPE = Path(__file__).resolve().parent.parent


def base() -> Config:
    """The paper's method at the size of this corpus: toned syllables, K = 100.

    docs/log.md tells how the numbers were chosen. It uses one thread: two threads wait for each
    other whenever something else runs on the machine.
    """
    config = small_transducer(
        RECIPE / "data",
        corpus="hsk",
        lang="lang_word",
        num_sampled=100,
        learning_rate=6e-4,
        warmup_steps=300,
    )
    return replace(
        config,
        loss=LossConfig(ctc_only_steps=2500),
        training=TrainingConfig(
            max_steps=10_000,
            checkpoint_every_steps=1000,
            keep_checkpoints=5,
            log_every_steps=50,
            threads=1,
        ),
    )


def variants() -> dict[str, Config]:
    """The variants by name: each differs from `base` in its softmax and its auxiliary losses."""
    endings = recipes.auxiliaries(base().ctc, layers=(3,))
    named = recipes.crossed(base(), recipes.softmaxes(100), endings)
    named["example_ctc_50"] = with_classes(named["example_ctc"], 50)
    for name, config in list(named.items()):
        named[f"characters_{name}"] = characters(config)
    named["characters_example_ctc_100"] = with_classes(named["characters_example_ctc"], 100)
    return recipes.in_folders(named, RECIPE / "exp")


def characters(config: Config) -> Config:
    """The same variant in characters, K = 300 (`prepare.sh --units characters`)."""
    config = with_data(config, RECIPE / "data_characters", corpus="hsk", lang="lang_char")
    return with_classes(config, 300)


if __name__ == "__main__":
    recipes.run_training(variants(), base=base(), description=__doc__)
