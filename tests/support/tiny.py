"""Configs and models small enough to train in a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

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
from icefall_sampled.modeling import Factories, Transducer
from icefall_sampled.modeling.subsampling import subsampled_lengths
from icefall_sampled.training.objective import Losses, Objective

PRUNED: dict[str, dict[str, Any]] = {
    "sampling": {"strategy": "none"},
    "loss": {"kind": "pruned"},
}
"""The fields for a model with k2's pruned loss."""

ENCODER = ConformerConfig(
    subsampling_channels=4, num_layers=2, width=16, num_heads=2, feedforward_width=32,
    kernel_frames=3, dropout=0.1,
)  # fmt: skip


def tiny_config(corpus: Path = Path("corpus"), exp_dir: Path = Path("exp")) -> Config:
    """Dropout, SpecAugment and sampling are on, so that everything random takes part."""
    return Config(
        exp_dir=exp_dir,
        data=DataConfig(
            train_cuts=corpus / "train.jsonl.gz", dev_cuts=corpus / "dev.jsonl.gz",
            lang_dir=corpus / "lang", max_duration_seconds=4.0, max_utterance_seconds=2.0,
            num_buckets=2, num_workers=0,
        ),
        spec_augment=SpecAugmentConfig(
            time_warp_frames=4, feature_mask_bins=6, num_frame_masks=2, frame_mask_frames=6
        ),
        encoder=ENCODER,
        ctc=CtcConfig(joint_weight=0.3),
        predictor=PredictorConfig(embedding_width=8, hidden_width=16, dropout=0.1),
        joiner=JoinerConfig(width=16),
        sampling=SamplingConfig(strategy="example", num_sampled=9, distribution="ctc"),
        optimizer=OptimizerConfig(learning_rate=1e-2, schedule="cosine", warmup_steps=3),
        training=TrainingConfig(
            max_steps=20, log_every_steps=2, checkpoint_every_steps=8, keep_checkpoints=3
        ),
    )  # fmt: skip


def changed(config: Config, **parts: dict[str, Any]) -> Config:
    """`changed(config, training={"max_steps": 3})`: the same config with these fields changed."""
    return replace(
        config, **{name: replace(getattr(config, name), **new) for name, new in parts.items()}
    )


def plain(config: Config) -> Config:
    """Nothing random but the order of the data and the initial weights."""
    return changed(
        config,
        encoder={"dropout": 0.0},
        predictor={"dropout": 0.0},
        spec_augment={"probability": 0.0},
        sampling={"strategy": "none"},
    )


def tiny_model(
    config: Config | None = None, *, vocab_size: int = 12, seed: int = 0, scale: float = 1.0
) -> Transducer:
    """A random model in eval mode; a larger scale makes its decisions more varied."""
    torch.manual_seed(seed)
    model = Factories().model(tiny_config() if config is None else config, vocab_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def by_four(num_frames: int) -> int:
    """Encoder frames of four-fold subsampling."""
    return subsampled_lengths(num_frames, 4)


def losses_of(model: Transducer, *batch: torch.Tensor, **options: Any) -> Losses:
    """The losses of a model on features, lengths, targets and target lengths."""
    objective = Objective(model, model.config).train(model.training)
    losses: Losses = objective(*batch, **options)
    return losses


def ragged_batch(
    lengths: list[int], target_lengths: list[int], *, vocab_size: int = 12, padding: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random features and targets, no label twice in a row; `padding` fills padded frames."""
    features = torch.randn(len(lengths), max(lengths), 80)
    width = max(target_lengths)
    steps = torch.randint(1, vocab_size - 1, (len(lengths), width))
    targets = steps.cumsum(1) % (vocab_size - 1) + 1
    for n, (frames, labels) in enumerate(zip(lengths, target_lengths, strict=True)):
        features[n, frames:] = padding
        targets[n, labels:] = 0
    return features, torch.tensor(lengths), targets, torch.tensor(target_lengths)
