"""Shared by the recipes with characters: ESPnet's Conformer transducer, the paper's Table 2.

The paper follows "the standard recipe [29] of ESPnet" (Boyer et al. 2021) for AISHELL-1 and
CSJ-APS. In ESPnet's egs/aishell/asr1 that is conf/tuning/transducer/
train_conformer-rnn_transducer_aux_ngpu4.yaml: the paper says that it outperforms the results of
this file, 4.3 / 4.8 % on dev / test. For CSJ the paper names no other. Differences from that file:

- two strided convolutions with 256 channels subsample the input, in place of VGG's four;
- features are 80 mel bins without pitch;
- the predictor has dropout on the embedding alone: its LSTM is a single layer;
- batches are filled by seconds and not by utterances.
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
from icefall_sampled.recipes.variants import auxiliaries, softmaxes, with_pruned_loss

BATCH_SECONDS = 144.0
"""32 utterances of 4.5 seconds: ESPnet's batch on one of its four GPUs."""
WIDTH = 512
NUM_LAYERS = 12
WARMUP_STEPS = 25_000


def espnet_transducer(recipe: Path, *, corpus: str) -> Config:
    """The baseline with sampled softmax, K = 500: 12 Conformer blocks and an LSTM.

    One GPU takes four batches to a step, because ESPnet has four GPUs; four processes need
    `--optimizer.accumulate 1`.

    Args:
        recipe: the folder in which prepare.sh made `data`.
        corpus: prefix of the names of its manifests.
    """
    fbank = recipe / "data/fbank"
    return Config(
        data=DataConfig(
            train_cuts=fbank / f"{corpus}_cuts_train.jsonl.gz",
            dev_cuts=fbank / f"{corpus}_cuts_dev.jsonl.gz",
            lang_dir=recipe / "data/lang_char",
            max_duration_seconds=BATCH_SECONDS,
        ),
        spec_augment=SpecAugmentConfig(
            probability=1.0, time_warp_frames=5, feature_mask_bins=30, num_frame_masks=2,
            frame_mask_frames=40,
        ),
        encoder=ConformerConfig(
            num_layers=NUM_LAYERS, width=WIDTH, num_heads=4, feedforward_width=2048,
            kernel_frames=15, dropout=0.3,
        ),
        ctc=CtcConfig(joint_weight=0.5),
        predictor=PredictorConfig(embedding_width=1024, hidden_width=512, dropout=0.2),
        joiner=JoinerConfig(width=512),
        sampling=SamplingConfig(num_sampled=500),
        optimizer=OptimizerConfig(
            # ESPnet's transformer-lr 1.0: the peak is width^-0.5 warmup^-0.5.
            learning_rate=round((WIDTH * WARMUP_STEPS) ** -0.5, 6),
            warmup_steps=WARMUP_STEPS, weight_decay=0.0, accumulate=4,
        ),
    )  # fmt: skip


def table_two(base: Config) -> dict[str, Config]:
    """The rows of Table 2 that both corpora have: `base` with other softmaxes and auxiliary losses.

    One more variant, `pruned`, is not in the paper: `full` with k2's pruned loss. Intermediate CTC
    is computed after the middle block, as in Lee and Watanabe 2021.
    """
    endings = auxiliaries(base.ctc, layers=(NUM_LAYERS // 2,))
    rows = {"full": softmaxes(500)["full"]}
    for name in ("batch_uniform", "example_uniform", "example_ctc"):
        rows.update({f"{name}_{k}": softmaxes(k)[name] for k in (500, 1000)})
    variants = {name: replace(base, sampling=sampling) for name, sampling in rows.items()}
    for name in ("full", "example_ctc_500"):
        variants[f"{name}_interctc"] = replace(variants[name], ctc=endings["_interctc"])
    variants["pruned"] = with_pruned_loss(variants["full"])
    return variants


@dataclass(frozen=True, kw_only=True)
class CharacterDecodeConfig(RecipeDecodeConfig):
    """What to decode, and how: greedy search over the 100 likeliest classes by CTC."""

    ctc_top_k: int = 100
    """Allow only the K classes of highest mean CTC posterior, blank included; 0 for all."""
    avg: int = 10
    """How many of the latest checkpoints to average; 0 takes the best on dev."""
