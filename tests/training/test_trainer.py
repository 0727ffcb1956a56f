"""The loop: what it logs, keeps and computes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from icefall_sampled import checkpoint
from icefall_sampled.modeling import Transducer
from icefall_sampled.training import train
from icefall_sampled.training.trainer import seed_everything
from tests.support.corpus import make_cut, write_corpus, write_cuts
from tests.support.curves import curves_of
from tests.support.stopping import Watched, stopping_after
from tests.support.tiny import changed, plain, tiny_config


def test_tensorboard_has_every_promised_curve(corpus: Path, tmp_path: Path) -> None:
    config = changed(
        tiny_config(corpus, tmp_path),
        ctc={"intermediate_layers": (1,)},
        training={"max_steps": 6, "checkpoint_every_steps": 3},
    )
    train(config)
    curves = curves_of(tmp_path)
    losses = ["total", "transducer", "ctc", "interctc"]
    others = ["learning_rate", "gradient_norm", "num_sampled", "positives", "sampled_mass",
              "peak_memory_mib", "widened_batches", "rejected_utterances"]  # fmt: skip
    for name in (*losses, *others):
        points = curves[f"train/{name}"]
        assert list(points) == [2, 4, 6], name
        assert all(math.isfinite(value) for value in points.values()), name
    assert curves["train/num_sampled"][6] == 9
    assert 3 <= curves["train/positives"][6] <= 8
    assert 0 < curves["train/sampled_mass"][6] < 1
    assert curves["train/peak_memory_mib"][6] > 10
    assert curves["train/learning_rate"][2] == pytest.approx(1e-2 * 2 / 3)
    total = curves["train/transducer"][6]
    total += 0.3 * curves["train/ctc"][6] + 0.3 * curves["train/interctc"][6]
    assert curves["train/total"][6] == pytest.approx(total, rel=1e-5)
    for name in (*losses, "wer_percent"):
        assert list(curves[f"dev/{name}"]) == [3, 6]


def test_means_count_only_batches_that_had_the_loss(corpus: Path, tmp_path: Path) -> None:
    """Three steps of CTC alone, then one with the transducer: its mean is over that one."""
    config = changed(
        plain(tiny_config(corpus)), loss={"ctc_only_steps": 3}, training={"max_steps": 4}
    )
    every = changed(replace(config, exp_dir=tmp_path / "1"), training={"log_every_steps": 1})
    train(every)
    train(changed(replace(config, exp_dir=tmp_path / "4"), training={"log_every_steps": 4}))
    single, mean = curves_of(tmp_path / "1"), curves_of(tmp_path / "4")
    assert list(single["train/transducer"]) == [4]
    assert mean["train/transducer"][4] == pytest.approx(single["train/transducer"][4], rel=1e-5)
    expected = sum(single["train/ctc"].values()) / 4
    assert mean["train/ctc"][4] == pytest.approx(expected, rel=1e-5)


def test_every_widened_batch_is_counted(corpus: Path, tmp_path: Path) -> None:
    config = changed(
        tiny_config(corpus, tmp_path),
        sampling={"num_sampled": 2},
        training={"max_steps": 6, "log_every_steps": 3},
    )
    train(config)
    assert curves_of(tmp_path)["train/widened_batches"] == {3: 3.0, 6: 6.0}


def test_no_point_is_lost_by_stopping(corpus: Path, tmp_path: Path) -> None:
    config = changed(tiny_config(corpus, tmp_path), training={"max_steps": 6, "log_every_steps": 1})
    with pytest.raises(KeyboardInterrupt):
        train(config, factories=stopping_after(3))
    train(config)
    assert list(curves_of(tmp_path)["train/total"]) == [1, 2, 3, 4, 5, 6]


def test_best_and_latest_checkpoints_are_kept(corpus: Path, tmp_path: Path) -> None:
    config = changed(
        tiny_config(corpus, tmp_path),
        training={"max_steps": 12, "checkpoint_every_steps": 2, "keep_checkpoints": 2},
    )
    train(config)
    assert [p.name for p in checkpoint.find(tmp_path)] == ["step-00000010.pt", "step-00000012.pt"]
    losses = curves_of(tmp_path)["dev/transducer"]
    assert checkpoint.load(tmp_path / checkpoint.BEST)["step"] == min(
        losses, key=losses.__getitem__
    )


def test_it_learns(corpus: Path, tmp_path: Path) -> None:
    config = changed(tiny_config(corpus, tmp_path), training={"max_steps": 40})
    train(config)
    curve = curves_of(tmp_path)["train/ctc"]
    assert curve[40] < 0.7 * curve[2]


# The same in torch 1.13.1 with k2 and in torch 2.13.0 with fast_rnnt.
GOLDEN = {
    "none": [58.53842, 33.62133, 28.40729, 21.18779, 16.34323,
             17.78923, 17.94743, 26.70589, 16.95317, 19.57209],
    "example": [50.98436, 28.56492, 24.52622, 18.38223, 14.3964,
                16.06795, 16.01439, 24.20578, 14.89046, 17.56894],
}  # fmt: skip


@pytest.mark.parametrize("strategy", GOLDEN)
def test_ten_steps_have_the_losses_that_they_had(
    corpus: Path, tmp_path: Path, strategy: str
) -> None:
    """A change that moves these values changes what training computes; then store the new ones."""
    config = changed(
        plain(tiny_config(corpus, tmp_path)),
        sampling={"strategy": strategy},
        training={"max_steps": 10, "log_every_steps": 1},
    )
    train(config)
    points = curves_of(tmp_path)["train/total"]
    actual = [round(points[step], 5) for step in range(1, 11)]
    assert actual == pytest.approx(GOLDEN[strategy], rel=2e-4)


def test_two_half_batches_make_one(tmp_path: Path) -> None:
    """Gradients of accumulated batches are the mean of theirs (batch norm aside, in eval mode)."""

    def freeze(model: Transducer) -> None:
        for module in model.modules():
            module.eval()
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign]

    # Utterances of one length each, so that a batch of four is two batches of two.
    random = np.random.RandomState(7)
    corpus = write_corpus(tmp_path / "corpus")
    features = random.uniform(-1, 1, (40, 80)).astype("float32")
    cuts = [make_cut(tmp_path / "f", f"u{i}", features + i, "abcde"[i:]) for i in range(4)]
    write_cuts(corpus / "train.jsonl.gz", cuts)
    weights = {}
    for name, duration, accumulate in (("whole", 1.6, 1), ("halves", 0.8, 2)):
        config = changed(
            plain(tiny_config(corpus, tmp_path / name)),
            data={"max_duration_seconds": duration, "max_utterance_seconds": 0.5},
            optimizer={"accumulate": accumulate, "clip_norm": 1e9},
            training={"max_steps": 1},
        )
        seed_everything(0)
        train(config, factories=Watched(watch=freeze))
        weights[name] = checkpoint.load(checkpoint.find(tmp_path / name)[-1])["optimizer"]
    for whole, halves in zip(
        weights["whole"]["state"].values(), weights["halves"]["state"].values(), strict=True
    ):
        # After one step AdamW's first moment is a tenth of the gradient.
        torch.testing.assert_close(halves["exp_avg"], whole["exp_avg"], rtol=1e-3, atol=1e-6)
