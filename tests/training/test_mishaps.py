"""What the loop skips, reports and refuses."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor

from icefall_sampled import checkpoint
from icefall_sampled.data.rejects import TooManyRejects
from icefall_sampled.modeling import Factories, Transducer
from icefall_sampled.modeling.conformer import Conformer
from icefall_sampled.training import train
from icefall_sampled.training.trainer import TrainingDiverged
from tests.support.corpus import make_cut, make_cuts, write_corpus, write_cuts
from tests.support.curves import curves_of
from tests.support.stopping import Watched
from tests.support.tiny import changed, tiny_config


def poisoned(bad: set[int]) -> Factories:
    """The first block of the encoder gives NaN in these passes of training."""

    def watch(model: Transducer) -> None:
        passes = count(1)

        def poison(block: torch.nn.Module, _: object, out: Tensor) -> Tensor:
            return out * float("nan") if block.training and next(passes) in bad else out

        assert isinstance(model.encoder, Conformer)
        model.encoder.blocks[0].register_forward_hook(poison)

    return Watched(watch=watch)


@pytest.mark.parametrize("distribution", ["ctc", "interctc"])
@pytest.mark.parametrize("strategy", ["none", "batch", "example"])
def test_a_step_without_a_finite_gradient_is_skipped(
    corpus: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    strategy: str,
    distribution: str,
) -> None:
    config = changed(
        tiny_config(corpus),
        ctc={"intermediate_layers": (1,)},
        sampling={"strategy": strategy, "distribution": distribution},
        training={"max_steps": 3, "checkpoint_every_steps": 1},
    )
    with caplog.at_level(logging.WARNING):
        train(replace(config, exp_dir=tmp_path), factories=poisoned({2}))
    assert "step 2 skipped: the gradient is not finite" in caplog.text
    states = [checkpoint.load(path) for path in checkpoint.find(tmp_path)]
    trained = [name for name, _ in Factories().model(config, 12).named_parameters()]
    for name in trained:
        assert torch.equal(states[1]["model"][name], states[0]["model"][name]), name
    assert any(not torch.equal(states[2]["model"][n], states[1]["model"][n]) for n in trained)
    assert all(torch.isfinite(states[2]["model"][name]).all() for name in trained)


def test_too_many_bad_steps_in_a_row_stop_the_run(corpus: Path, tmp_path: Path) -> None:
    config = changed(
        tiny_config(corpus, tmp_path), training={"max_steps": 60, "checkpoint_every_steps": 50}
    )
    with pytest.raises(TrainingDiverged, match=r"not finite in 20 steps in a row \(step 31\)"):
        train(config, factories=poisoned({2, 4, *range(12, 60)}))


def test_unreadable_utterances_are_reported_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = write_corpus(tmp_path / "corpus", num_train=24, num_dev=4)
    (corpus / "feats/train-003.npy").write_bytes(b"broken")
    (corpus / "feats/dev-001.npy").unlink()
    config = changed(
        tiny_config(corpus, tmp_path / "exp"),
        data={"max_rejected_percent": 30.0},
        training={"max_steps": 10, "log_every_steps": 5, "checkpoint_every_steps": 5},
    )
    with caplog.at_level(logging.WARNING):
        train(config)
    assert caplog.text.count("left out train-003: unreadable: ") == 1
    assert caplog.text.count("left out dev-001: unreadable: ") == 1
    assert curves_of(tmp_path / "exp")["train/rejected_utterances"][10] == 1
    with pytest.raises(TooManyRejects, match="--data.max-rejected-percent allows more"):
        train(changed(replace(config, exp_dir=tmp_path / "strict"),
                      data={"max_rejected_percent": 1.0}))  # fmt: skip


def test_a_batch_of_which_nothing_can_be_read_changes_no_weight(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", num_train=4, num_dev=2)
    for path in (corpus / "feats").glob("train-*.npy"):
        path.unlink()
    config = changed(
        tiny_config(corpus, tmp_path / "exp"),
        data={"max_rejected_percent": 100.0},
        optimizer={"weight_decay": 0.0},
        training={"max_steps": 2, "checkpoint_every_steps": 1, "log_every_steps": 1},
    )
    train(config)
    before, after = (checkpoint.load(p)["model"] for p in checkpoint.find(tmp_path / "exp"))
    unchanged = [name for name, _ in Factories().model(config, 12).named_parameters()]
    for name in (*unchanged, "feature_norm.total", "feature_norm.count"):
        assert torch.equal(before[name], after[name]), name
    assert after["feature_norm.count"] == 0
    assert "train/total" not in curves_of(tmp_path / "exp")


def test_what_is_missing_is_named_before_training(corpus: Path, tmp_path: Path) -> None:
    config = tiny_config(corpus, tmp_path / "exp")
    for parts, message in (
        ({"data": {"train_cuts": tmp_path / "no"}}, "data.train_cuts is .*no, it must be"),
        ({"data": {"dev_cuts": tmp_path / "no"}}, "data.dev_cuts is .*no, it must be"),
        ({"data": {"lang_dir": tmp_path / "no"}}, "data.lang_dir is .*no, it must be"),
        ({"training": {"precision": "float16"}}, "training.precision is float16, without a GPU"),
        ({"training": {"max_steps": 0}}, "training.max_steps is 0, it must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            train(changed(config, **parts))
    assert not (tmp_path / "exp").exists()


def test_long_utterances_and_odd_ones_train_too(tmp_path: Path) -> None:
    """Utterances shorter than a mask of SpecAugment, and of very different lengths."""
    corpus = write_corpus(tmp_path / "corpus", num_train=10)
    cuts = make_cuts(corpus / "feats", "more", 6, seed=9)
    short = torch.randn(31, 80).numpy()
    cuts += [make_cut(corpus / "feats", f"short-{i}", short, "ab") for i in range(6)]
    write_cuts(corpus / "train.jsonl.gz", cuts)
    config = changed(
        tiny_config(corpus, tmp_path / "exp"),
        spec_augment={"probability": 1.0, "time_warp_frames": 80, "num_frame_masks": 10,
                      "frame_mask_frames": 100, "feature_mask_bins": 27},
        training={"max_steps": 6},
    )  # fmt: skip
    train(config)
    weights = checkpoint.load(checkpoint.find(tmp_path / "exp")[-1])["model"]
    assert all(torch.isfinite(w).all() for w in weights.values())
