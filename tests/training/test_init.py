"""Starting from a trained model, and weights that are not trained."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from icefall_sampled import checkpoint
from icefall_sampled.checkpoint import CheckpointError
from icefall_sampled.config import Config
from icefall_sampled.export import save_folder
from icefall_sampled.model_files import load_averaged
from icefall_sampled.modeling import Factories
from icefall_sampled.tokens import load_tokens
from icefall_sampled.training import train
from icefall_sampled.training.init import start_from
from icefall_sampled.training.objective import Objective
from tests.support.compare import differences
from tests.support.corpus import LETTERS, write_tokens
from tests.support.stopping import stopping_after
from tests.support.tiny import PRUNED, changed, tiny_config


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = changed(
        tiny_config(corpus, tmp_path_factory.mktemp("trained")),
        ctc={"intermediate_layers": (1,), "self_conditioning": True},
        training={"max_steps": 4, "checkpoint_every_steps": 2},
    )
    train(config)
    return config


def last_model(exp_dir: Path) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = checkpoint.load(checkpoint.find(exp_dir)[-1])["model"]
    return model


def objective_of(config: Config, vocab_size: int) -> Objective:
    torch.manual_seed(99)
    return Objective(Factories().model(config, vocab_size), config)


def test_the_same_model_is_taken_whole(trained: Config) -> None:
    tokens = load_tokens(trained.data.lang_dir)
    objective = objective_of(trained, tokens.vocab_size)
    latest = checkpoint.find(trained.exp_dir)[-1]
    for source in (latest, trained.exp_dir):
        started = start_from(source, objective, tokens)
        assert (started.new, started.left) == ([], [])
    wanted = checkpoint.load(trained.exp_dir / checkpoint.BEST)["model"]
    assert differences(dict(objective.model.state_dict()), dict(wanted)) == []


def test_rows_go_with_the_text_of_their_tokens(trained: Config, tmp_path: Path) -> None:
    """The new table has its letters in another order, one of them not, and two more."""
    letters = "".join(reversed(LETTERS))[1:] + "ÄÖ"
    lang = write_tokens(tmp_path / "lang", letters)
    tokens, old_tokens = load_tokens(lang), load_tokens(trained.data.lang_dir)
    objective = objective_of(trained, tokens.vocab_size)
    fresh = {name: value.clone() for name, value in objective.model.state_dict().items()}
    started = start_from(trained.exp_dir, objective, tokens)
    assert (started.new, started.left) == ([], [])
    old = checkpoint.load(trained.exp_dir / checkpoint.BEST)["model"]
    found = objective.model.state_dict()
    ids = {old_tokens.piece(i): i for i in range(old_tokens.vocab_size)}
    for name, dimension in (
        ("joiner.output.weight", 0), ("joiner.output.bias", 0), ("predictor.embedding.weight", 0),
        ("ctc.output.weight", 0), ("ctc.output.bias", 0), ("ctc.feedback.weight", 1),
    ):  # fmt: skip
        for i in range(tokens.vocab_size):
            before = ids.get(tokens.piece(i))
            expected = fresh[name].select(dimension, i)
            if before is not None:
                expected = old[name].select(dimension, before)
            assert torch.equal(found[name].select(dimension, i), expected), (name, i)
    assert "joiner.output.weight (2 of 13 tokens are new)" in started.taken
    assert torch.equal(found["ctc.feedback.bias"], old["ctc.feedback.bias"])


def test_other_sizes_and_parts_are_new_or_left(trained: Config) -> None:
    config = changed(
        trained,
        encoder={"num_layers": 3, "kernel_frames": 5},
        ctc={"self_conditioning": False},
        **PRUNED,
    )
    tokens = load_tokens(config.data.lang_dir)
    objective = objective_of(config, tokens.vocab_size)
    started = start_from(trained.exp_dir, objective, tokens)
    blocks = "encoder.blocks.0.convolution.depthwise.weight"
    assert f"{blocks} ((16, 1, 3) there, (16, 1, 5) here)" in started.new
    assert "encoder.blocks.2.norm.weight (the trained model has none)" in started.new
    assert "simple.encoder.weight (the trained model has none)" in started.new
    assert {"ctc.feedback.weight", "ctc.feedback.bias"} <= set(started.left)
    assert "encoder.blocks.1.norm.weight" in started.taken


def test_an_exported_folder_is_a_start_too(trained: Config, tmp_path: Path) -> None:
    model, _ = load_averaged(trained.exp_dir, avg=1)
    save_folder(tmp_path / "out", model, lang_dir=trained.data.lang_dir)
    tokens = load_tokens(trained.data.lang_dir)
    objective = objective_of(trained, tokens.vocab_size)
    started = start_from(tmp_path / "out", objective, tokens)
    assert (started.new, started.left) == ([], [])
    assert differences(dict(objective.model.state_dict()), dict(last_model(trained.exp_dir))) == []


def test_weights_of_icefall_are_found_by_its_names(trained: Config, tmp_path: Path) -> None:
    """A checkpoint as icefall's trainer writes it, here of a stateless model."""
    config = changed(trained, predictor={"kind": "stateless"})
    tokens = load_tokens(config.data.lang_dir)
    width = tokens.vocab_size
    state = {
        "decoder.embedding.weight": torch.rand(width, 8),
        "joiner.encoder_proj.weight": torch.rand(16, 16),
        "joiner.output_linear.weight": torch.rand(width, 16),
        "ctc_output.1.weight": torch.rand(width, 16),
        "encoder_embed.conv.0.weight": torch.rand(2, 2),
    }
    torch.save({"model": state, "batch_idx_train": 4}, tmp_path / "epoch-30.pt")
    objective = objective_of(config, width)
    with pytest.raises(CheckpointError, match=r"epoch-30\.pt, nothing of it fits"):
        start_from(tmp_path / "epoch-30.pt", objective_of(changed(config, joiner={"width": 8}), 12),
                   tokens)  # fmt: skip
    started = start_from(
        tmp_path / "epoch-30.pt", objective, tokens, lang_dir=trained.data.lang_dir
    )
    found = objective.model.state_dict()
    for ours, theirs in (
        ("predictor.embedding.weight", "decoder.embedding.weight"),
        ("joiner.encoder_projection.weight", "joiner.encoder_proj.weight"),
        ("joiner.output.weight", "joiner.output_linear.weight"),
        ("ctc.output.weight", "ctc_output.1.weight"),
    ):
        assert torch.equal(found[ours], state[theirs]), ours
    assert started.left == ["encoder.encoder_embed.conv.0.weight"]


def test_a_started_run_resumes_bit_identically(trained: Config, tmp_path: Path) -> None:
    config = changed(trained, training={"max_steps": 6, "init_from": trained.exp_dir},
                     optimizer={"learning_rate": 3e-3})  # fmt: skip
    train(replace(config, exp_dir=tmp_path / "whole"))
    pieces = replace(config, exp_dir=tmp_path / "pieces")
    with pytest.raises(KeyboardInterrupt):
        train(pieces, factories=stopping_after(3))
    train(pieces)
    states = [checkpoint.load(checkpoint.find(tmp_path / d)[-1]) for d in ("whole", "pieces")]
    for state in states:
        del state["config"], state["processor_seconds"]
    assert differences(*states) == []
    report = (tmp_path / "whole/init.txt").read_text()
    assert report.startswith(f"started from {trained.exp_dir}\ntaken\t")


def test_frozen_weights_and_statistics_stay(trained: Config, tmp_path: Path) -> None:
    config = changed(
        replace(trained, exp_dir=tmp_path),
        training={
            "max_steps": 3, "init_from": trained.exp_dir,
            "freeze": ("encoder.*", "feature_norm.*"),
        },
    )  # fmt: skip
    train(config)
    before = checkpoint.load(trained.exp_dir / checkpoint.BEST)["model"]
    after = last_model(tmp_path)
    for name, value in after.items():
        is_frozen = name.startswith(("encoder.", "feature_norm."))
        assert not is_frozen or torch.equal(value, before[name]), name
    assert not torch.equal(after["joiner.output.weight"], before["joiner.output.weight"])
    with pytest.raises(CheckpointError, match="training.freeze"):
        train(changed(config, training={"freeze": ()}))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"training": {"freeze": ("decoder.*",)}}, "training.freeze has 'decoder.*'"),
        ({"optimizer": {"factors": {"decoder.*": 0.1}}}, "optimizer.factors has 'decoder.*'"),
        ({"optimizer": {"factors": {"*": -1.0}}}, "optimizer.factors is"),
        ({"training": {"init_from": Path("nowhere")}}, "nowhere"),
    ],
)
def test_what_matches_nothing_is_named(
    corpus: Path, tmp_path: Path, parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        train(changed(tiny_config(corpus, tmp_path), **parts))
    assert message in str(caught.value)
    assert checkpoint.find(tmp_path) == []


def test_the_optimizer_takes_the_settings_of_the_command(corpus: Path, tmp_path: Path) -> None:
    config = changed(tiny_config(corpus, tmp_path), training={"max_steps": 2})
    train(config)
    new = changed(
        config, training={"max_steps": 3}, optimizer={"weight_decay": 0.5, "betas": (0.5, 0.6)}
    )
    train(new)
    groups = checkpoint.load(checkpoint.find(tmp_path)[-1])["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert all(tuple(group["betas"]) == (0.5, 0.6) for group in groups)


def test_a_corpus_prepared_again_does_not_make_a_model_unusable(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another table of the same size comes into lang_dir; the run has kept its own."""
    shutil.copytree(corpus / "lang", tmp_path / "lang")
    config = changed(
        tiny_config(corpus, tmp_path / "exp"),
        data={"lang_dir": tmp_path / "lang"},
        training={"max_steps": 2},
    )
    train(config)
    write_tokens(tmp_path / "lang", "".join(reversed(LETTERS)))
    _, tokens = load_averaged(config.exp_dir, avg=1)
    assert tokens.fingerprint == load_tokens(corpus / "lang").fingerprint
    longer = changed(config, training={"max_steps": 3})
    with pytest.raises(CheckpointError, match="its own is in .*exp/lang"):
        train(longer)
    with caplog.at_level(logging.INFO):
        train(changed(longer, data={"lang_dir": config.exp_dir / "lang"}))
    assert "continuing from" in caplog.text
