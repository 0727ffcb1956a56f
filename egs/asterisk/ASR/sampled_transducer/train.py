#!/usr/bin/env python3
"""Train a small Conformer transducer on the announcements of a telephone system.

What is special here: half an hour of one speaker a language, put together into three hours of
announcements; a model of three million parameters that two CPU cores train in minutes. It starts
with CTC alone, on the shortest utterances.

    train.py example_ctc --exp-dir exp/example_ctc

is the paper's method (negatives for each utterance from its own joint CTC posterior), and the
variant of the table that run.sh prints. A variant is named by its softmax, then by the auxiliary
losses that it has besides joint CTC: `full` is the baseline, `full_scctc` the baseline with
self-conditioned CTC, `full_noaux` the transducer alone (Tables 1 and 2 of the paper). `five_` in
front of a name is the same on all five languages, with 300 of 2,000 pieces in the softmax.
The same command again continues an interrupted run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled import cli
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
from icefall_sampled.training import train

RECIPE = Path(__file__).resolve().parent.parent


def base() -> Config:
    """The paper's method at the size of this corpus: English, 500 pieces, K = 100.

    What the numbers were chosen by is in docs/log.md. Small batches and no regularisation: there
    is time for only a few passes, over recordings that come again in every composition. CTC
    leaves its plateau on utterances of under two seconds, and hardly without them.
    """
    return Config(
        data=DataConfig(
            train_cuts=RECIPE / "data/fbank/asterisk_cuts_train.jsonl.gz",
            dev_cuts=RECIPE / "data/fbank/asterisk_cuts_dev.jsonl.gz",
            lang_dir=RECIPE / "data/lang_bpe_500",
            max_duration_seconds=12.5,
            max_utterance_seconds=12.5,
            curriculum_seconds=(2.0,) * 12 + (4.0,) * 3,
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
        loss=LossConfig(ctc_only_steps=800),
        optimizer=OptimizerConfig(learning_rate=1.5e-3, schedule="cosine", warmup_steps=800),
        training=TrainingConfig(
            max_steps=3600, checkpoint_every_steps=600, keep_checkpoints=5, log_every_steps=50
        ),
    )  # fmt: skip


def softmaxes() -> dict[str, SamplingConfig]:
    """The softmax of each family of variants (Sections 3.1 and 3.2)."""
    return {
        "full": SamplingConfig(strategy="none", distribution="uniform"),
        "batch_uniform": SamplingConfig(strategy="batch", num_sampled=100, distribution="uniform"),
        "example_uniform": SamplingConfig(
            strategy="example", num_sampled=100, distribution="uniform"
        ),
        "example_ctc": base().sampling,
    }


def auxiliaries() -> dict[str, CtcConfig]:
    """The auxiliary losses of the paper's tables, by the ending of a variant's name."""
    joint = base().ctc
    return {
        "": joint,
        "_interctc": replace(joint, intermediate_layers=(3,)),
        "_scctc": replace(joint, intermediate_layers=(3,), self_conditioning=True),
        "_noaux": CtcConfig(joint_weight=0.0),
    }


def variants() -> dict[str, Config]:
    """Every named variant: each differs from `base` in its softmax and its auxiliary losses."""
    named = {}
    for softmax, sampling in softmaxes().items():
        for ending, ctc in auxiliaries().items():
            if sampling.distribution == "ctc" and ending == "_noaux":
                continue  # there is no CTC posterior to sample from
            loss = LossConfig() if ending == "_noaux" else base().loss  # no CTC, no CTC start
            named[softmax + ending] = replace(base(), sampling=sampling, ctc=ctc, loss=loss)
    from_intermediate = replace(base().sampling, distribution="interctc")
    for name in ("interctc", "scctc"):
        named[f"example_{name}"] = replace(
            base(), sampling=from_intermediate, ctc=auxiliaries()[f"_{name}"]
        )
    named.update({f"five_{name}": five_languages(config) for name, config in named.items()})
    return {name: replace(config, exp_dir=RECIPE / "exp" / name) for name, config in named.items()}


def five_languages(config: Config) -> Config:
    """The same variant on all five languages: 2,000 pieces, K = 300 (`prepare.sh --langs all`)."""
    data = replace(
        config.data,
        train_cuts=RECIPE / "data_all/fbank/asterisk_cuts_train.jsonl.gz",
        dev_cuts=RECIPE / "data_all/fbank/asterisk_cuts_dev.jsonl.gz",
        lang_dir=RECIPE / "data_all/lang_bpe_2000",
    )
    return replace(config, data=data, sampling=replace(config.sampling, num_sampled=300))


def main() -> None:
    """Read the command line and train."""
    train(cli.choose_variant(variants(), base=base(), description=__doc__ or ""))


if __name__ == "__main__":
    cli.run(main)
