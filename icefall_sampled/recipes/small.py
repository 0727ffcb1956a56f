"""Shared by the recipes for a few hours of speech: a model of three million parameters.

Two CPU cores train it in minutes. Batches are small and there is no regularisation, because there
is time for only a few passes over recordings of one speaker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

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
)
from icefall_sampled.recipes.programs import RecipeDecodeConfig


def small_transducer(
    data_dir: Path,
    *,
    corpus: str,
    lang: str,
    num_sampled: int,
    learning_rate: float,
    warmup_steps: int,
) -> Config:
    """Six Conformer blocks and an LSTM, trained with negatives from joint CTC.

    Args:
        data_dir: folder of the data from prepare.sh.
        corpus: prefix of the names of its manifests.
        lang: folder of the token table in `data_dir`.
        num_sampled: K, classes in the softmax.
        learning_rate: its peak; it ends at zero.
        warmup_steps: steps until the peak.
    """
    config = Config(
        data=DataConfig(
            max_duration_seconds=12.5, max_utterance_seconds=12.5, speed_perturbed=False,
            num_workers=1,
        ),
        spec_augment=SpecAugmentConfig(probability=0.0),
        encoder=ConformerConfig(
            subsampling=6, subsampling_channels=32, num_layers=6, width=144, num_heads=4,
            feedforward_width=288, kernel_frames=15, dropout=0.0,
        ),
        ctc=CtcConfig(joint_weight=0.5),
        predictor=PredictorConfig(embedding_width=128, hidden_width=256, dropout=0.2),
        joiner=JoinerConfig(width=256),
        sampling=SamplingConfig(strategy="example", num_sampled=num_sampled, distribution="ctc"),
        optimizer=OptimizerConfig(
            learning_rate=learning_rate, schedule="cosine", warmup_steps=warmup_steps
        ),
    )  # fmt: skip
    return with_data(config, data_dir, corpus=corpus, lang=lang)


def with_data(config: Config, data_dir: Path, *, corpus: str, lang: str) -> Config:
    """The same config with the data of another folder from prepare.sh."""
    data = replace(
        config.data,
        train_cuts=data_dir / f"fbank/{corpus}_cuts_train.jsonl.gz",
        dev_cuts=data_dir / f"fbank/{corpus}_cuts_dev.jsonl.gz",
        lang_dir=data_dir / lang,
    )
    return replace(config, data=data)


def with_classes(config: Config, num_sampled: int) -> Config:
    """The same config with another K."""
    return replace(config, sampling=replace(config.sampling, num_sampled=num_sampled))


@dataclass(frozen=True, kw_only=True)
class SmallDecodeConfig(RecipeDecodeConfig):
    """What to decode, and how: by default with the last checkpoint alone."""

    avg: int = 1
    """How many of the latest checkpoints to average; 0 takes the best on dev. The learning rate
    ends at zero: the last checkpoint is better than an average with earlier ones."""
