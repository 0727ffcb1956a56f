"""A run with k2's pruned loss, from its first step to a transcript."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config, PrunedLossConfig, SearchConfig
from icefall_sampled.decoding.decode import DecodeConfig, decode
from icefall_sampled.decoding.search import search
from icefall_sampled.export import load_folder, open_model, save_folder
from icefall_sampled.losses import lattice, lattice_torch
from icefall_sampled.model_files import load_averaged
from icefall_sampled.training import train
from icefall_sampled.transcribe import TranscribeConfig, find_sources, transcribe
from tests.support.compare import differences
from tests.support.curves import curves_of
from tests.support.stopping import stopping_after
from tests.support.tiny import PRUNED, changed, ragged_batch, tiny_config
from tests.transcribe.sounds import noise, write


def variant(corpus: Path, exp_dir: Path) -> Config:
    """Three steps of CTC alone, then eight of warm-up."""
    return changed(
        tiny_config(corpus, exp_dir),
        **{**PRUNED, "loss": {"kind": "pruned", "ctc_only_steps": 3,
                              "pruned": PrunedLossConfig(warmup_steps=8)}},
        training={"max_steps": 14, "checkpoint_every_steps": 7, "log_every_steps": 1},
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = variant(corpus, tmp_path_factory.mktemp("pruned"))
    train(config)
    return config


def test_curves_show_both_losses_and_the_warm_up(trained: Config) -> None:
    curves = curves_of(trained.exp_dir)
    assert list(curves["train/simple"]) == list(curves["train/transducer"]) == list(range(4, 15))
    assert list(curves["dev/simple"]) == [7, 14]
    for step, warm in ((4, 0.0), (8, 0.5), (12, 1.0), (14, 1.0)):
        simple, pruned, ctc, total = (
            curves[f"train/{name}"][step] for name in ("simple", "transducer", "ctc", "total")
        )
        expected = (1 - 0.5 * warm) * simple + (0.1 + 0.9 * warm) * pruned + 0.3 * ctc
        assert total == pytest.approx(expected, rel=1e-5), step
    assert curves["dev/loss"] == curves["dev/transducer"]


def test_stopped_and_continued_is_bit_identical(trained: Config, tmp_path: Path) -> None:
    config = replace(trained, exp_dir=tmp_path)
    for passes in (2, 5):  # within CTC alone, and within the warm-up
        with pytest.raises(KeyboardInterrupt):
            train(config, factories=stopping_after(passes, signal.SIGTERM))
    train(config)
    states = [checkpoint.load(checkpoint.find(c.exp_dir)[-1]) for c in (trained, config)]
    for state in states:
        del state["config"]  # it names the folder
    assert differences(*states) == []


def test_a_run_does_not_go_on_with_another_loss(trained: Config) -> None:
    config = changed(trained, loss={"kind": "transducer"})
    with pytest.raises(CheckpointError, match=r"with loss\.kind pruned, .* asks for transducer; "):
        train(config)


def test_without_a_package_no_step_is_trained(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lattice, "_module", lattice_torch)
    with pytest.raises(ImportError, match=r"^The pruned loss needs k2 or fast_rnnt for "):
        train(variant(corpus, tmp_path))
    assert not list(tmp_path.iterdir())


def test_it_is_decoded_like_any_other(trained: Config, corpus: Path) -> None:
    config = DecodeConfig(exp_dir=trained.exp_dir, avg=2, ctc_top_k=5)
    scores = decode(config, {"dev": corpus / "dev.jsonl.gz"})
    assert scores["dev"].words.reference > 0


def test_it_is_exported_without_the_simple_projections(
    trained: Config, corpus: Path, tmp_path: Path
) -> None:
    model, _ = load_averaged(trained.exp_dir, avg=2)
    save_folder(tmp_path / "once", model, lang_dir=corpus / "lang")
    loaded, _ = load_folder(tmp_path / "once")
    assert loaded.config.loss == trained.loss
    assert not any(name.startswith("simple") for name in loaded.state_dict())
    save_folder(tmp_path / "twice", loaded, lang_dir=corpus / "lang")
    again, _ = load_folder(tmp_path / "twice")
    features, lengths, _, _ = ragged_batch([80, 60], [1, 1])
    found = []
    for one in (model, loaded, again):
        with torch.no_grad():
            encoded = one.encode(features, lengths)
            found.append(search(one, encoded, SearchConfig(method="time_sync_beam")))
    assert found[0] == found[1] == found[2]


def test_it_transcribes_from_its_run_and_from_its_export(
    trained: Config, corpus: Path, tmp_path: Path
) -> None:
    save_folder(
        tmp_path / "out", load_averaged(trained.exp_dir, avg=2)[0], lang_dir=corpus / "lang"
    )
    write(tmp_path / "sound.wav", noise(1.5, seed=0))
    texts = []
    for path in (trained.exp_dir, tmp_path / "out"):
        model, tokens = open_model(path, avg=2)
        sources = find_sources([str(tmp_path / "sound.wav")])
        (transcript,) = transcribe(model, tokens, sources, TranscribeConfig(model=path, avg=2))
        assert transcript.seconds == pytest.approx(1.5, abs=0.01)
        texts.append(transcript.text)
    assert texts[0] == texts[1]
