#!/usr/bin/env python3
"""Train a small Conformer transducer on single Mandarin words, in toned syllables.

What is special here: two hours of one speaker, a word an utterance, and a test that no model knows
by heart: words that training never heard, of syllables that it heard in at least three others.
There are about 1,090 syllables, of which a word has two. CTC needs a small learning rate and a
third of the training to leave its plateau; the transducer joins it then.

    train.py example_ctc --exp-dir exp/example_ctc

is the paper's method (negatives for each utterance from its own joint CTC posterior), and the
variant of the table that run.sh prints. A variant is named by its softmax, then by the auxiliary
losses that it has besides joint CTC: `full` is the baseline, `full_scctc` the baseline with
self-conditioned CTC, `full_noaux` the transducer alone. A number behind the name is K, classes in
the softmax, where it is not 100. `characters_` in front of a name is the same in characters, with
300 of 2,862 classes in the softmax (`prepare.sh --units characters`). The same command again
continues an interrupted run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled import recipes
from icefall_sampled.config import (
    Config,
    CtcConfig,
    DataConfig,
    EncoderConfig,
    JoinerConfig,
    LossConfig,
    OptimizerConfig,
    PredictorConfig,
    SamplingConfig,
    SpecAugmentConfig,
    TrainingConfig,
)

RECIPE = Path(__file__).resolve().parent.parent


def base() -> Config:
    """The paper's method at the size of this corpus: toned syllables, K = 100.

    What the numbers were chosen by is in docs/log.md. One thread: two of them wait for each other
    whenever something else runs on the machine.
    """
    return Config(
        data=DataConfig(
            train_cuts=RECIPE / "data/fbank/hsk_cuts_train.jsonl.gz",
            dev_cuts=RECIPE / "data/fbank/hsk_cuts_dev.jsonl.gz",
            lang_dir=RECIPE / "data/lang_word",
            max_duration_seconds=12.5,
            max_utterance_seconds=12.5,
            speed_perturbed=False,
            num_workers=1,
        ),
        spec_augment=SpecAugmentConfig(probability=0.0),
        encoder=EncoderConfig(
            subsampling=6, subsampling_channels=32, num_layers=6, width=144, num_heads=4,
            feedforward_width=288, kernel_frames=15, dropout=0.0,
        ),
        ctc=CtcConfig(joint_weight=0.5),
        predictor=PredictorConfig(embedding_width=128, hidden_width=256, dropout=0.2),
        joiner=JoinerConfig(width=256),
        sampling=SamplingConfig(strategy="example", num_sampled=100, distribution="ctc"),
        loss=LossConfig(ctc_only_steps=2000),
        optimizer=OptimizerConfig(learning_rate=6e-4, schedule="cosine", warmup_steps=300),
        training=TrainingConfig(
            max_steps=6000, checkpoint_every_steps=500, keep_checkpoints=5, log_every_steps=50,
            threads=1,
        ),
    )  # fmt: skip


def variants() -> dict[str, Config]:
    """Every named variant: each differs from `base` in its softmax and its auxiliary losses."""
    endings = recipes.auxiliaries(base().ctc, layers=(3,))
    named = recipes.crossed(base(), recipes.softmaxes(100), endings)
    named["example_ctc_50"] = with_classes(named["example_ctc"], 50)
    for name, config in list(named.items()):
        named[f"characters_{name}"] = characters(config)
    named["characters_example_ctc_100"] = with_classes(named["characters_example_ctc"], 100)
    return recipes.in_folders(named, RECIPE / "exp")


def with_classes(config: Config, num_sampled: int) -> Config:
    """The same variant with another K."""
    return replace(config, sampling=replace(config.sampling, num_sampled=num_sampled))


def characters(config: Config) -> Config:
    """The same variant in characters, K = 300 where it samples (`prepare.sh --units
    characters`).
    """
    data = replace(
        config.data,
        train_cuts=RECIPE / "data_characters/fbank/hsk_cuts_train.jsonl.gz",
        dev_cuts=RECIPE / "data_characters/fbank/hsk_cuts_dev.jsonl.gz",
        lang_dir=RECIPE / "data_characters/lang_char",
    )
    return with_classes(replace(config, data=data), 300)


if __name__ == "__main__":
    recipes.run_training(variants(), base=base(), description=__doc__)
