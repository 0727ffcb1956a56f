#!/usr/bin/env python3
"""Train Conformer-M on LibriSpeech: every row of the paper's Table 1.

What is special here: the full size of model and corpus (960 hours), and vocabularies of 500, 600
and 2,000 pieces to compare. A variant is named by its softmax, its vocabulary, and the auxiliary
losses of its row:

    train.py full_2000                          row 2000, -
    train.py full_2000_interctc                 row 2000, -, +InterCTC
    train.py example_scctc_300of2000            row 2000, 300, +SC-CTC, sampled from SC-CTC

The names of the rows are in `rows` below and in local/paper_table.json; `pruned`, which is not in
the paper, is `full_2000` with k2's pruned loss. The prefix `hundred_` means training on
train-clean-100 (`prepare.sh --subset 100`). On eight GPUs,
`--optimizer.accumulate 1 --data.max-duration-seconds 150` gives a step with the same amount of
speech. `--data.noise-cuts data/fbank/librispeech_cuts_noise.jsonl.gz` adds noise of MUSAN to half
of the utterances, at 10 to 20 dB and different in each epoch (`prepare.sh --musan-dir DIR`); the
paper uses no noise. `--encoder.causal --encoder.chunk-frames 0 16 32 64
--encoder.left-context-frames 128` trains for streaming (docs/streaming.md). The same command again
continues an interrupted run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled import recipes
from icefall_sampled.config import (
    Config,
    ConformerConfig,
    CtcConfig,
    DataConfig,
    JoinerConfig,
    OptimizerConfig,
    PredictorConfig,
    SamplingConfig,
    SpecAugmentConfig,
    TrainingConfig,
)

RECIPE = Path(__file__).resolve().parent.parent


def base() -> Config:
    """Conformer-M (Gulati et al. 2020, Table 1), the paper's method with 300 of 2,000 pieces.

    Gulati et al. have a depthwise kernel of 32 frames; ours must be odd to be centred, and has 31.
    They do not give the widths of embedding and joiner; with 320 the transducer without CTC has
    their 30.7 million parameters at 1,000 pieces. SpecAugment and speed perturbation are the
    paper's. It gives neither batch size nor schedule: 250,000 steps of 1,200 seconds are 29 epochs
    of three speeds.
    """
    return Config(
        data=prepared("data", 2000),
        spec_augment=SpecAugmentConfig(probability=1.0),
        encoder=ConformerConfig(
            num_layers=16, width=256, num_heads=4, feedforward_width=1024, kernel_frames=31
        ),
        ctc=CtcConfig(intermediate_layers=(8,), self_conditioning=True),
        predictor=PredictorConfig(embedding_width=320, hidden_width=640),
        joiner=JoinerConfig(width=320),
        sampling=SamplingConfig(num_sampled=300, distribution="interctc"),
        optimizer=OptimizerConfig(learning_rate=1.5e-3, warmup_steps=25_000, accumulate=4),
        training=TrainingConfig(
            max_steps=250_000, checkpoint_every_steps=5000, keep_checkpoints=10
        ),
    )


def prepared(folder: str, vocab_size: int) -> DataConfig:
    """The data that prepare.sh made in this folder."""
    fbank = RECIPE / folder / "fbank"
    return DataConfig(
        train_cuts=fbank / "librispeech_cuts_train.jsonl.gz",
        dev_cuts=fbank / "librispeech_cuts_dev-clean.jsonl.gz",
        lang_dir=RECIPE / folder / f"lang_bpe_{vocab_size}",
        max_duration_seconds=300.0,
    )


def rows() -> dict[str, tuple[int, int | None, str, str]]:
    """Vocabulary, classes in the softmax, softmax and auxiliary losses of each row of Table 1.

    A row without auxiliary losses is the transducer alone: the paper mentions no joint CTC for this
    corpus. The others have joint CTC and one intermediate loss, in the middle of the encoder;
    sampling "from SC-CTC" uses the posterior of the intermediate loss.
    """
    return {
        "full_2000": (2000, None, "full", "_noaux"),
        "full_2000_interctc": (2000, None, "full", "_interctc"),
        "full_2000_scctc": (2000, None, "full", "_scctc"),
        "full_600": (600, None, "full", "_noaux"),
        "full_600_scctc": (600, None, "full", "_scctc"),
        "full_500": (500, None, "full", "_noaux"),
        "full_500_scctc": (500, None, "full", "_scctc"),
        "batch_uniform_600of2000": (2000, 600, "batch_uniform", "_noaux"),
        "batch_uniform_600of2000_scctc": (2000, 600, "batch_uniform", "_scctc"),
        "example_uniform_600of2000_scctc": (2000, 600, "example_uniform", "_scctc"),
        "example_uniform_250of500_scctc": (500, 250, "example_uniform", "_scctc"),
        "example_scctc_600of2000": (2000, 600, "example_interctc", "_scctc"),
        "example_scctc_300of2000": (2000, 300, "example_interctc", "_scctc"),
        "example_scctc_250of500": (500, 250, "example_interctc", "_scctc"),
        "example_scctc_160of500": (500, 160, "example_interctc", "_scctc"),
    }


def variants() -> dict[str, Config]:
    """The rows of Table 1 and k2's pruned loss, on 960 hours and on 100 hours."""
    named = {}
    endings = recipes.auxiliaries(CtcConfig(), layers=(8,))
    for name, (vocab_size, num_sampled, softmax, ending) in rows().items():
        sampling = recipes.softmaxes(num_sampled or vocab_size)[softmax]
        config = recipes.with_auxiliary(replace(base(), sampling=sampling), endings[ending])
        named[name] = replace(config, data=prepared("data", vocab_size))
        named[f"hundred_{name}"] = hundred_hours(config, vocab_size)
    for hours in ("", "hundred_"):
        named[f"{hours}pruned"] = recipes.with_pruned_loss(named[f"{hours}full_2000"])
    return recipes.in_folders(named, RECIPE / "exp")


def hundred_hours(config: Config, vocab_size: int) -> Config:
    """The same variant on train-clean-100, for 75 epochs of three speeds in smaller steps."""
    return replace(
        config,
        data=prepared("data_100", vocab_size),
        optimizer=replace(config.optimizer, warmup_steps=10_000, accumulate=2),
        training=replace(config.training, max_steps=130_000),
    )


if __name__ == "__main__":
    recipes.run_training(variants(), base=base(), description=__doc__)
