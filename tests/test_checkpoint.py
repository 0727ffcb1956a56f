"""Checkpoints on disk: whole or not there, as many as asked for, averaged."""

from __future__ import annotations

import random
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError


def state_of(value: float, *, step: int = 1, size: int = 4) -> dict[str, Any]:
    model = {"weight": torch.full((size,), value), "seen": torch.tensor(step)}
    return {"model": model, "config": "{}", "step": step, "factories": {}}


def save_at_most(path: Path, state: dict[str, Any], num_bytes: int) -> None:
    """Save where no file may grow beyond so many bytes, as on a disk that gets full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        checkpoint.save(path, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [0, 1000, 100_000])
def test_a_full_disk_leaves_the_previous_checkpoint_whole(tmp_path: Path, num_bytes: int) -> None:
    path = checkpoint.path_of(tmp_path, 1)
    checkpoint.save(path, state_of(1.0))
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*step-00000001.pt: ") as e:
        save_at_most(path, state_of(2.0, size=1_000_000), num_bytes)
    assert "\n" not in str(e.value)
    assert "File too large" in str(e.value)
    assert checkpoint.load(path)["model"]["weight"].tolist() == [1.0] * 4
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write checkpoint .*Not a directory|exists"):
        checkpoint.save(tmp_path / "file" / "step-00000001.pt", state_of(1.0))
    with pytest.raises(CheckpointError, match="cannot write checkpoint .*best.pt: "):
        checkpoint.copy(tmp_path / "none.pt", tmp_path / "best.pt")


def test_half_a_file_is_not_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "step-00000001.pt"
    checkpoint.save(path, state_of(1.0))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="step-00000001.pt is not a whole checkpoint"):
        checkpoint.load(path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "none.pt")
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        checkpoint.load(path)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("exploded"), "")


def test_loading_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**state_of(1.0), "extra": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(tmp_path / "bomb.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_the_latest_are_kept_and_the_best(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20, 100):
        checkpoint.save(checkpoint.path_of(tmp_path, step), state_of(0.0, step=step))
    checkpoint.copy(checkpoint.path_of(tmp_path, 5), tmp_path / checkpoint.BEST)
    killed = tmp_path / ".123.step-00000110.pt"
    killed.write_bytes(b"half")
    checkpoint.prune(tmp_path, 2)
    assert not killed.exists()
    assert checkpoint.find(tmp_path) == [checkpoint.path_of(tmp_path, step) for step in (20, 100)]
    assert checkpoint.load(tmp_path / checkpoint.BEST)["step"] == 5
    checkpoint.prune(tmp_path, 10)
    assert len(checkpoint.find(tmp_path)) == 2


def test_average_is_the_mean_of_the_weights(tmp_path: Path) -> None:
    paths = []
    for step, value in ((1, 0.1), (2, 0.4), (3, 1.0)):
        paths.append(checkpoint.path_of(tmp_path, step))
        checkpoint.save(paths[-1], state_of(value, step=step))
    mean = checkpoint.average(paths)
    torch.testing.assert_close(mean["model"]["weight"], torch.full((4,), 0.5))
    assert mean["model"]["weight"].dtype == torch.float32
    assert int(mean["model"]["seen"]) == 3
    assert mean["step"] == 3
    one = checkpoint.average(paths[:1])
    assert torch.equal(one["model"]["weight"], torch.full((4,), 0.1))


def test_different_models_have_no_average(tmp_path: Path) -> None:
    paths = [checkpoint.path_of(tmp_path, step) for step in (1, 2)]
    checkpoint.save(paths[0], state_of(1.0, size=3))
    checkpoint.save(paths[1], state_of(1.0, size=4))
    with pytest.raises(CheckpointError, match="are of different models"):
        checkpoint.average(paths)


def test_random_states_survive_a_checkpoint(tmp_path: Path) -> None:
    def draw() -> list[Any]:
        return [random.gauss(0, 1), np.random.standard_normal(3).tolist(), torch.randn(3).tolist()]

    np.random.standard_normal(1)
    random.gauss(0, 1)  # leaves half a pair behind, which is part of the state
    checkpoint.save(tmp_path / "state.pt", {**state_of(0.0), "rng": checkpoint.rng_state()})
    expected = draw()
    checkpoint.set_rng_state(checkpoint.load(tmp_path / "state.pt")["rng"])
    assert draw() == expected
