"""A run that was stopped and continued is, bit by bit, the run that was not."""

from __future__ import annotations

import logging
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config, to_json
from icefall_sampled.model_files import config_of
from icefall_sampled.modeling import Factories, Transducer
from icefall_sampled.training import train
from icefall_sampled.training.run import processor_seconds
from tests.support.compare import differences
from tests.support.corpus import write_tokens
from tests.support.stack import STACK, StackConfig
from tests.support.stopping import Watched, stop_after, stopping_after
from tests.support.tiny import changed, tiny_config


def variant(corpus: Path, num_workers: int) -> Config:
    """A run of about two epochs; every kind of random choice that a config can add is on."""
    return changed(
        tiny_config(corpus),
        data={"num_workers": num_workers, "noise_cuts": corpus / "dev.jsonl.gz"},
        ctc={"intermediate_layers": (1,), "self_conditioning": True},
        loss={"ctc_only_steps": 3},
        optimizer={"accumulate": 1},
    )


def run_in_pieces(config: Config, stops: list[int]) -> None:
    """Stop after so many steps of each piece, then run to the end."""
    for i, passes in enumerate(stops):
        number = signal.SIGTERM if i % 2 else signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            train(config, factories=stopping_after(passes, number))
    train(config)


def last_state(exp_dir: Path) -> dict[str, object]:
    """The latest checkpoint, with a config that no longer names the folder."""
    state = checkpoint.load(checkpoint.find(exp_dir)[-1])
    assert state["bad_steps"] == 0
    _, config = config_of(state)
    assert config.exp_dir == exp_dir
    state["config"] = to_json(replace(config, exp_dir=Path("exp")))
    return state


@pytest.mark.parametrize("num_workers", [0, 1])
def test_stopped_and_continued_is_bit_identical(
    corpus: Path, tmp_path: Path, num_workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = variant(corpus, num_workers)
    train(replace(config, exp_dir=tmp_path / "whole"))
    assert "skipped" not in caplog.text  # every step changed the weights
    whole = last_state(tmp_path / "whole")
    assert whole["step"] == 20
    assert whole["epoch"] >= 1  # type: ignore[operator]
    # After step 2 (CTC alone), 7 (within an epoch) and 8, where a checkpoint was due anyway.
    run_in_pieces(replace(config, exp_dir=tmp_path / "pieces"), [2, 5, 1])
    assert differences(last_state(tmp_path / "pieces"), whole) == []


def test_interrupted_after_each_step(corpus: Path, tmp_path: Path) -> None:
    """Among these stops are the last batch of an epoch and the first of the next."""
    config = changed(variant(corpus, 0), training={"max_steps": 14, "checkpoint_every_steps": 100})
    train(replace(config, exp_dir=tmp_path / "whole"))
    run_in_pieces(replace(config, exp_dir=tmp_path / "pieces"), [1] * 13)
    assert differences(last_state(tmp_path / "pieces"), last_state(tmp_path / "whole")) == []


def test_processor_time_adds_up_over_the_pieces(corpus: Path, tmp_path: Path) -> None:
    config = changed(tiny_config(corpus, tmp_path), training={"max_steps": 4})
    seconds, began = [0.0], processor_seconds()
    for passes in (2, 1):
        with pytest.raises(KeyboardInterrupt):
            train(config, factories=stopping_after(passes))
        seconds.append(last_state(tmp_path)["processor_seconds"])  # type: ignore[arg-type]
    train(config)
    seconds.append(last_state(tmp_path)["processor_seconds"])  # type: ignore[arg-type]
    assert all(later > earlier for earlier, later in pairwise(seconds))
    assert seconds[-1] <= processor_seconds() - began  # nothing is counted twice


def test_a_finished_run_stays_as_it_is(corpus: Path, tmp_path: Path) -> None:
    config = changed(tiny_config(corpus, tmp_path), training={"max_steps": 2})
    train(config)
    before = {p: p.read_bytes() for p in tmp_path.glob("*.pt")}
    train(config)
    assert {p: p.read_bytes() for p in tmp_path.glob("*.pt")} == before


def stop_twice(model: Transducer) -> None:
    def stop(encoder: torch.nn.Module, *_: object) -> None:
        if encoder.training:
            signal.raise_signal(signal.SIGTERM)

    stop_after(model, 1).encoder.register_forward_hook(stop)  # type: ignore[attr-defined]


def test_a_second_signal_stops_at_once(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(corpus, tmp_path), factories=Watched(watch=stop_twice))
    assert checkpoint.find(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_torchrun_passes_on_is_no_second_one(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(corpus, tmp_path), factories=Watched(watch=stop_twice))
    assert last_state(tmp_path)["step"] == 1


@pytest.fixture(scope="module")
def stopped(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run that stands after its second step."""
    config = tiny_config(corpus, tmp_path_factory.mktemp("stopped"))
    with pytest.raises(KeyboardInterrupt):
        train(config, factories=stopping_after(2))
    return config


def sentence_of(config: Config, factories: Factories | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        train(config, factories=factories)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_another_vocabulary_is_refused(stopped: Config, tmp_path: Path) -> None:
    lang = write_tokens(tmp_path, "abcdefghijk")
    text = sentence_of(changed(stopped, data={"lang_dir": lang}))
    assert "was trained with another vocabulary (12 classes) than" in text
    assert f"{lang} (13 classes)" in text


def test_another_architecture_is_refused(stopped: Config) -> None:
    text = sentence_of(changed(stopped, encoder={"num_layers": 3}))
    assert "num_layers=2" in text
    assert "num_layers=3" in text
    assert "choose another exp_dir" in text


def test_another_encoder_is_refused(stopped: Config) -> None:
    text = sentence_of(replace(stopped, encoder=StackConfig()), factories=STACK)
    assert "was trained with other parts: Config.encoder has no field 'causal'; known: " in text
    assert "choose another exp_dir" in text


@pytest.mark.parametrize("size", [0, 100, -100])
def test_a_damaged_checkpoint_is_named(stopped: Config, tmp_path: Path, size: int) -> None:
    path = checkpoint.find(stopped.exp_dir)[-1]
    (tmp_path / path.name).write_bytes(path.read_bytes()[:size])
    text = sentence_of(replace(stopped, exp_dir=tmp_path))
    assert f"{path.name} is not a whole checkpoint" in text


def test_what_else_changed_is_said(
    stopped: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = checkpoint.find(stopped.exp_dir)[-1]
    (tmp_path / path.name).write_bytes(path.read_bytes())
    config = replace(
        changed(stopped, sampling={"num_sampled": 10}, training={"max_steps": 3}),
        exp_dir=tmp_path,
    )
    with caplog.at_level(logging.WARNING):
        train(config)
    assert "goes on changed: sampling SamplingConfig(" in caplog.text
    assert last_state(tmp_path)["step"] == 3
