"""What of a run's folder its result says: which training it was, by which code, and its curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from icefall_sampled import checkpoint
from icefall_sampled.config import Config, DataConfig, OptimizerConfig, TrainingConfig, to_json
from icefall_sampled.recipes.tables import collect
from icefall_sampled.recipes.tables.collect import (
    config_digest,
    dev_curves,
    note_commit,
    note_trained,
)


def test_a_digest_is_of_what_decides_a_training() -> None:
    config = Config(optimizer=OptimizerConfig(learning_rate=1e-4))
    same = replace(
        config,
        exp_dir=Path("elsewhere"),
        data=DataConfig(lang_dir=Path("/another/folder/lang_bpe_500")),
        training=TrainingConfig(seed=7, threads=1),
    )
    digest = config_digest(config)
    assert len(digest) == 12
    assert config_digest(same) == digest
    for other in (
        Config(),
        replace(config, data=DataConfig(lang_dir=Path("data/lang_char"))),
        replace(config, optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=5)),
    ):
        assert config_digest(other) != digest


def test_fields_at_their_defaults_leave_a_digest_as_it_is() -> None:
    """So it does not change where `Config` gets a field: this one never may."""
    assert config_digest(Config()) == "44136fa355b3"  # of {}


def test_all_code_that_trained_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained_by(*commits: str, exp_dir: Path) -> str:
        exp_dir.mkdir(exist_ok=True)
        for commit in commits:
            monkeypatch.setattr(collect, "commit", lambda commit=commit: commit)
            note_commit(exp_dir)
        state = {"model": {}, "config": to_json(Config()), "step": 7, "factories": {}}
        checkpoint.save(checkpoint.path_of(exp_dir, 7), state)
        return note_trained(exp_dir, variant="full").commit

    assert trained_by("a", exp_dir=tmp_path / "whole") == "a"
    monkeypatch.setattr(collect, "commit", lambda: "b")  # after the training has ended
    assert note_trained(tmp_path / "whole", variant="full").commit == "a"
    assert trained_by("a", "a", "b", "a", exp_dir=tmp_path / "pieces") == "a, b"
    assert trained_by(exp_dir=tmp_path / "older") == "a"  # which noted nothing but its end
    assert trained_by("b", exp_dir=tmp_path / "older") == "unknown, b"


def test_curves_have_the_time_where_it_was_written(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "tensorboard")) as board:
        for step, percent in ((10, 50.0), (20, 25.0)):
            board.add_scalar("dev/wer_percent", percent, step)
        board.add_scalar("dev/processor_seconds", 5.0, 5)
        board.add_scalar("dev/processor_seconds", 12.34, 20)
    assert dev_curves(tmp_path) == {"wer_percent": ((10, None, 50.0), (20, 12.3, 25.0))}
    assert dev_curves(tmp_path / "none") == {}
