#!/usr/bin/env python3
"""Train on a corpus of your own: four sizes of Conformer with sampled softmax.

Nothing is special here, so there is a variant for each amount of speech: tiny up to two hours,
small up to 20, medium up to 200, large above; `tiny_full` and so on are the same with the full
softmax, `tiny_pruned` and so on with k2's pruned loss. run.sh chooses among them and calls this
program with the paths of the corpus:

    train.py small --data.train-cuts … --data.dev-cuts … --data.lang-dir … --exp-dir …

The same command again continues an interrupted run.
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
    """The small model, which a CPU can train, with half of the large model's regularisation."""
    return Config(
        data=DataConfig(max_duration_seconds=40.0),
        spec_augment=SpecAugmentConfig(probability=0.5, max_masked_fraction=0.2),
        encoder=ConformerConfig(
            subsampling_channels=64, num_layers=8, width=144, feedforward_width=576,
            kernel_frames=15, dropout=0.05,
        ),
        ctc=CtcConfig(joint_weight=0.5),
        predictor=PredictorConfig(embedding_width=128, hidden_width=320),
        joiner=JoinerConfig(width=320),
        sampling=SamplingConfig(num_sampled=100, distribution="ctc"),
        optimizer=OptimizerConfig(learning_rate=1.5e-3, schedule="cosine", warmup_steps=1000),
        training=TrainingConfig(max_steps=10_000),
    )  # fmt: skip


def tiny() -> Config:
    """A third of the small model's work at each step, which matters with few hours of speech.

    It uses one thread: on two cores, two threads wait for each other if something else runs.
    """
    return replace(
        base(),
        data=DataConfig(max_duration_seconds=20.0),
        encoder=ConformerConfig(
            subsampling=6, subsampling_channels=32, num_layers=6, width=144, feedforward_width=288,
            kernel_frames=15, dropout=0.1,
        ),
        predictor=PredictorConfig(embedding_width=128, hidden_width=256, dropout=0.2),
        joiner=JoinerConfig(width=256),
        training=replace(base().training, threads=1),
    )  # fmt: skip


def medium() -> Config:
    """Twelve layers, for tens of hours and a GPU."""
    return replace(
        base(),
        data=DataConfig(max_duration_seconds=200.0),
        spec_augment=SpecAugmentConfig(),
        encoder=ConformerConfig(num_layers=12, width=192, feedforward_width=768),
        predictor=PredictorConfig(hidden_width=512),
        joiner=JoinerConfig(width=512),
    )


def large() -> Config:
    """Conformer-M, as in the paper, for hundreds of hours; 1,200 seconds in a step."""
    return replace(
        base(),
        data=DataConfig(max_duration_seconds=300.0),
        spec_augment=SpecAugmentConfig(),
        encoder=ConformerConfig(),
        ctc=CtcConfig(),
        predictor=PredictorConfig(),
        joiner=JoinerConfig(),
        optimizer=OptimizerConfig(learning_rate=1.5e-3, schedule="cosine", accumulate=4),
    )


def variants() -> dict[str, Config]:
    """Each size with sampled and with full softmax, and with the pruned loss."""
    sampled = {"tiny": tiny(), "small": base(), "medium": medium(), "large": large()}
    everything = recipes.softmaxes(base().sampling.num_sampled)["full"]
    full = {f"{name}_full": replace(c, sampling=everything) for name, c in sampled.items()}
    pruned = {f"{name}_pruned": recipes.with_pruned_loss(full[f"{name}_full"]) for name in sampled}
    return recipes.in_folders({**sampled, **full, **pruned}, RECIPE / "exp")


if __name__ == "__main__":
    recipes.run_training(variants(), base=base(), description=__doc__)
