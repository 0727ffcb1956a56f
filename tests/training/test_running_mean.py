"""The running mean of the weights, over all of training and over the part between checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config, DecodeConfig
from icefall_sampled.decoding.decode import decode
from icefall_sampled.model_files import load_averaged
from icefall_sampled.training import train
from tests.support.stopping import stopping_after
from tests.support.tiny import changed, tiny_config


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Six steps, stopped after the third, with the weights of each in a checkpoint and the mean."""
    config = changed(
        tiny_config(corpus, tmp_path_factory.mktemp("trained")),
        training={
            "max_steps": 6, "checkpoint_every_steps": 1, "keep_checkpoints": 9,
            "mean_every_steps": 1,
        },
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        train(config, factories=stopping_after(3))
    train(config)
    return config


@pytest.mark.parametrize(("avg", "first"), [(2, 5), (5, 2), (9, 1), (0, 1)])
def test_it_is_the_mean_of_the_weights_of_these_steps(
    trained: Config, avg: int, first: int
) -> None:
    model, _ = load_averaged(trained.exp_dir, avg=avg, running_mean=True)
    steps = [checkpoint.load(path)["model"] for path in checkpoint.find(trained.exp_dir)]
    assert len(steps) == 6
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            mean = torch.stack([step[name].double() for step in steps[first - 1 :]]).mean(0)
            torch.testing.assert_close(value, mean.to(value.dtype))


def test_results_are_named_by_what_was_averaged(
    trained: Config, corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sets = {"dev": corpus / "dev.jsonl.gz"}
    decode(DecodeConfig(exp_dir=trained.exp_dir, avg=50), sets)
    decode(DecodeConfig(exp_dir=trained.exp_dir, avg=2, use_averaged_model=True), sets)
    assert "avg is 50, 6 checkpoints are in" in caplog.text
    names = {path.name for path in (trained.exp_dir / "greedy").glob("scores-*.json")}
    assert names == {"scores-greedy-avg-6.json", "scores-greedy-avg-2-running-mean.json"}


def test_a_run_without_it_is_named(corpus: Path, tmp_path: Path) -> None:
    train(changed(tiny_config(corpus, tmp_path), training={"max_steps": 1}))
    with pytest.raises(CheckpointError, match="training.mean_every_steps"):
        load_averaged(tmp_path, avg=1, running_mean=True)
