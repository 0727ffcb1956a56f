"""Configs: JSON and back, and a sentence for each thing that cannot work."""

from __future__ import annotations

import json
from math import nan
from pathlib import Path
from typing import Any

import pytest

from icefall_sampled.config import (
    Config,
    ConformerConfig,
    DataConfig,
    LossConfig,
    PrunedLossConfig,
    check,
    from_json,
    to_json,
)
from icefall_sampled.modeling import Factories
from tests.support.recipes import asterisk_train
from tests.support.tiny import PRUNED, changed, tiny_config

PARTS = Factories().config_classes()


def read(text: str) -> Config:
    return from_json(Config, text, parts=PARTS)


VARIANTS = asterisk_train().variants()


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_validate_and_survive_json(name: str) -> None:
    config = VARIANTS[name]
    check(config)
    text = to_json(config)
    assert read(text) == config
    assert to_json(read(text)) == text


def test_variants_are_distinct() -> None:
    texts = [to_json(config) for config in VARIANTS.values()]
    assert len(set(texts)) == len(texts)


def test_json_restores_types() -> None:
    config = changed(tiny_config(), ctc={"intermediate_layers": (1,), "self_conditioning": True})
    back = read(to_json(config))
    assert back.ctc.intermediate_layers == (1,)
    assert isinstance(back.exp_dir, Path)
    assert isinstance(back.data.lang_dir, Path)
    assert from_json(ConformerConfig, to_json(ConformerConfig(width=6))).width == 6


def test_json_restores_a_path_that_may_be_none() -> None:
    for noise_cuts in (Path("noise.jsonl.gz"), None):
        config = changed(tiny_config(), data={"noise_cuts": noise_cuts})
        assert read(to_json(config)).data == config.data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"colour": 1}', "Config has no field 'colour'; known: exp_dir, data"),
        ('{"data": {"bukkets": 1}}', "Config.data has no field 'bukkets'"),
        ('{"data": 3}', "Config.data is 3"),
        ("[]", "Config is "),
        ("no json", "Expecting value"),
    ],
)
def test_json_of_something_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(text)


def test_a_config_from_before_streaming_is_not_causal() -> None:
    fields = json.loads(to_json(Config()))
    for name in ("causal", "chunk_frames", "left_context_frames"):
        del fields["encoder"][name]
    assert read(json.dumps(fields)) == Config()
    causal = ConformerConfig(causal=True, chunk_frames=(0, 8), left_context_frames=16)
    assert from_json(ConformerConfig, to_json(causal)) == causal


def test_a_config_from_before_the_pruned_loss_has_the_transducer_loss() -> None:
    fields = json.loads(to_json(Config()))
    for name in ("kind", "pruned"):
        del fields["loss"][name]
    assert read(json.dumps(fields)) == Config()
    pruned = LossConfig(kind="pruned", pruned=PrunedLossConfig(range_labels=7))
    assert from_json(LossConfig, to_json(pruned)) == pruned


def test_missing_fields_take_their_defaults() -> None:
    assert read(json.dumps({"data": {"num_buckets": 3}})) == Config(data=DataConfig(num_buckets=3))


RULES: list[tuple[str, dict[str, dict[str, Any]]]] = [
    ("encoder.width is 18", {"encoder": {"width": 18, "num_heads": 4}}),
    ("encoder.width is 15", {"encoder": {"width": 15, "num_heads": 5}}),
    ("encoder.num_heads is 0", {"encoder": {"num_heads": 0}}),
    ("encoder.kernel_frames is 4", {"encoder": {"kernel_frames": 4}}),
    ("encoder.kernel_frames is -1", {"encoder": {"kernel_frames": -1}}),
    ("encoder.num_layers is 0", {"encoder": {"num_layers": 0}}),
    ("encoder.width is 0", {"encoder": {"width": 0}}),
    ("encoder.feedforward_width is 0", {"encoder": {"feedforward_width": 0}}),
    ("encoder.subsampling_channels is -1", {"encoder": {"subsampling_channels": -1}}),
    ("encoder.dropout is 1.0", {"encoder": {"dropout": 1.0}}),
    (r"encoder.chunk_frames is \(-1,\)", {"encoder": {"causal": True, "chunk_frames": (-1,)}}),
    (r"encoder.chunk_frames is \(\)", {"encoder": {"causal": True}}),
    (r"encoder.chunk_frames is \(0,\)", {"encoder": {"causal": True, "chunk_frames": (0,)}}),
    (r"encoder.chunk_frames is \(8,\)", {"encoder": {"chunk_frames": (8,)}}),
    ("encoder.left_context_frames is -2", {"encoder": {"left_context_frames": -2}}),
    ("encoder.left_context_frames is 8", {"encoder": {"left_context_frames": 8}}),
    ("predictor.dropout is -0.1", {"predictor": {"dropout": -0.1}}),
    ("predictor.embedding_width is 0", {"predictor": {"embedding_width": 0}}),
    ("predictor.hidden_width is 0", {"predictor": {"hidden_width": 0}}),
    ("predictor.num_layers is 0", {"predictor": {"num_layers": 0}}),
    ("predictor.context_labels is 0", {"predictor": {"context_labels": 0}}),
    ("joiner.width is 0", {"joiner": {"width": 0}}),
    ("ctc.joint_weight is -1", {"ctc": {"joint_weight": -1}}),
    ("ctc.intermediate_weight is -1", {"ctc": {"intermediate_weight": -1}}),
    (r"ctc.intermediate_layers is \(0, 1\)", {"ctc": {"intermediate_layers": (0, 1)}}),
    ("ctc.self_conditioning is True", {"ctc": {"self_conditioning": True}}),
    ("sampling.distribution is ctc", {"ctc": {"joint_weight": 0.0}}),
    ("sampling.distribution is interctc", {"sampling": {"distribution": "interctc"}}),
    ("sampling.num_sampled is 1", {"sampling": {"num_sampled": 1}}),
    (
        "loss.ctc_only_steps is 5",
        {
            "loss": {"ctc_only_steps": 5},
            "ctc": {"joint_weight": 0.0},
            "sampling": {"strategy": "none"},
        },
    ),
    ("training.max_steps is 0", {"training": {"max_steps": 0}}),
    ("training.log_every_steps is 0", {"training": {"log_every_steps": 0}}),
    ("training.checkpoint_every_steps is 0", {"training": {"checkpoint_every_steps": 0}}),
    ("training.keep_checkpoints is 0", {"training": {"keep_checkpoints": 0}}),
    ("training.threads is -1", {"training": {"threads": -1}}),
    ("optimizer.accumulate is 0", {"optimizer": {"accumulate": 0}}),
    ("optimizer.warmup_steps is 0", {"optimizer": {"warmup_steps": 0}}),
    ("optimizer.learning_rate is 0", {"optimizer": {"learning_rate": 0}}),
    ("optimizer.clip_norm is 0", {"optimizer": {"clip_norm": 0}}),
    (r"optimizer.betas is \(0.9, 1.0\)", {"optimizer": {"betas": (0.9, 1.0)}}),
    ("optimizer.weight_decay is -1", {"optimizer": {"weight_decay": -1}}),
    ("data.max_duration_seconds is 1", {"data": {"max_duration_seconds": 1}}),
    ("data.num_buckets is 0", {"data": {"num_buckets": 0}}),
    ("data.num_workers is -1", {"data": {"num_workers": -1}}),
    ("data.max_rejected_percent is 101", {"data": {"max_rejected_percent": 101}}),
    ("data.max_rejected_percent is -1", {"data": {"max_rejected_percent": -1}}),
    ("spec_augment.probability is 1.5", {"spec_augment": {"probability": 1.5}}),
    ("spec_augment.probability is nan", {"spec_augment": {"probability": float("nan")}}),
    ("spec_augment.max_masked_fraction is -0.5", {"spec_augment": {"max_masked_fraction": -0.5}}),
    ("spec_augment.max_masked_fraction is 2", {"spec_augment": {"max_masked_fraction": 2}}),
    ("spec_augment.time_warp_frames is -1", {"spec_augment": {"time_warp_frames": -1}}),
    ("spec_augment.num_feature_masks is -1", {"spec_augment": {"num_feature_masks": -1}}),
    ("spec_augment.feature_mask_bins is 0", {"spec_augment": {"feature_mask_bins": 0}}),
    ("spec_augment.num_frame_masks is -1", {"spec_augment": {"num_frame_masks": -1}}),
    ("spec_augment.frame_mask_frames is 0", {"spec_augment": {"frame_mask_frames": 0}}),
    ("loss.ctc_only_steps is -1", {"loss": {"ctc_only_steps": -1}}),
    ("loss.ctc_only_steps is 20", {"loss": {"ctc_only_steps": 20}}),
    ("sampling.strategy is example", {"loss": {"kind": "pruned"}}),
    ("loss.pruned.range_labels is 1", {"loss": {"pruned": PrunedLossConfig(range_labels=1)}}),
    ("loss.pruned.simple_weight is -1", {"loss": {"pruned": PrunedLossConfig(simple_weight=-1)}}),
    ("loss.pruned.lm_scale is -0.1", {"loss": {"pruned": PrunedLossConfig(lm_scale=-0.1)}}),
    ("loss.pruned.am_scale is nan", {"loss": {"pruned": PrunedLossConfig(am_scale=nan)}}),
    ("loss.pruned.warmup_steps is -1", {"loss": {"pruned": PrunedLossConfig(warmup_steps=-1)}}),
    (
        r"loss.pruned.lm_scale \+ loss.pruned.am_scale is 1.0",
        {"loss": {"pruned": PrunedLossConfig(lm_scale=0.25, am_scale=0.75)}},
    ),
]


@pytest.mark.parametrize(("message", "parts"), RULES)
def test_what_cannot_work_is_named(message: str, parts: dict[str, dict[str, Any]]) -> None:
    config = changed(tiny_config(), **parts)
    with pytest.raises(ValueError, match=f"^{message}.*it must be ") as caught:
        check(config)
    assert "\n" not in str(caught.value)


def test_combinations_that_do_work() -> None:
    for parts in (
        {"spec_augment": {"probability": 1.0, "max_masked_fraction": 0.0, "time_warp_frames": 0}},
        {"loss": {"ctc_only_steps": 19}},
        {"ctc": {"joint_weight": 0.0}, "sampling": {"strategy": "none"}},
        {"ctc": {"joint_weight": 0.0}, "sampling": {"distribution": "uniform"}},
        {"ctc": {"intermediate_layers": (1,)}, "sampling": {"distribution": "interctc"}},
        {"ctc": {"joint_weight": 0.0, "intermediate_layers": (1,)}, "loss": {"ctc_only_steps": 5},
         "sampling": {"distribution": "interctc"}},
        {**PRUNED, "ctc": {"joint_weight": 0.0}},
    ):  # fmt: skip
        check(changed(tiny_config(), **parts))
