"""A model as a folder: the same log-probabilities, and what is said of each kind of damage."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from icefall_sampled import checkpoint
from icefall_sampled.export import ExportError, load_folder, open_model, save_folder
from icefall_sampled.model_files import load_averaged
from icefall_sampled.modeling import Transducer
from icefall_sampled.tokens import BLANK_TOKEN, UNKNOWN_TOKEN
from icefall_sampled.training import train
from tests.support.corpus import LETTERS, write_corpus, write_tokens
from tests.support.tiny import PRUNED, changed, ragged_batch, tiny_config, tiny_model

CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "lstm": {},
    "stateless": {"predictor": {"kind": "stateless"}},
    "self-conditioned": {"ctc": {"intermediate_layers": (1,), "self_conditioning": True}},
    "pruned": PRUNED,
}


def log_probs(model: Transducer) -> list[Tensor]:
    """Of the whole lattice and of CTC, on a ragged batch."""
    torch.manual_seed(1)
    features, lengths, targets, target_lengths = ragged_batch([60, 41], [5, 3])
    with torch.no_grad():
        encoded = model.encode(features, lengths)
        frames = model.joiner.encoder_projection(encoded.out)[:, :, None]
        history = model.predict(targets, target_lengths)[:, None]
        logits = model.joiner.output(model.joiner.hidden(frames, history))
        return [logits.log_softmax(-1), model.ctc_log_probs(encoded), encoded.lengths]


@pytest.fixture(scope="module")
def lang(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("lang"))


@pytest.fixture
def exported(lang: Path, tmp_path: Path) -> Path:
    save_folder(tmp_path / "out", tiny_model(), lang_dir=lang)
    return tmp_path / "out"


@pytest.mark.parametrize("name", CONFIGS)
def test_the_log_probabilities_are_the_same_bit_by_bit(
    name: str, lang: Path, tmp_path: Path
) -> None:
    model = tiny_model(changed(tiny_config(), **CONFIGS[name]), scale=3.0)
    model.feature_norm.count += 7.0  # statistics and counters are part of the model
    model.feature_norm.squares += 5.0
    save_folder(tmp_path, model, lang_dir=lang)
    torch.manual_seed(5)
    loaded, tokens = load_folder(tmp_path)
    assert not loaded.training
    assert tokens.decode([2, 3]) == LETTERS[:2]
    assert all(map(torch.equal, log_probs(model), log_probs(loaded)))
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_config_is_the_same_but_for_the_folders_of_the_machine(
    lang: Path, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path / "somewhere/corpus", tmp_path / "somewhere/exp")
    save_folder(tmp_path / "out", tiny_model(config), lang_dir=lang)
    assert "somewhere" not in (tmp_path / "out/config.json").read_text()
    loaded, _ = load_folder(tmp_path / "out")
    assert loaded.config.encoder == config.encoder
    assert loaded.config.data.max_duration_seconds == config.data.max_duration_seconds


def test_a_run_and_its_export_are_opened_alike(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", num_train=8, num_dev=2)
    config = changed(
        tiny_config(corpus, tmp_path / "exp"),
        training={"max_steps": 2, "checkpoint_every_steps": 1},
    )
    train(config)
    averaged, _ = load_averaged(config.exp_dir, avg=2)
    save_folder(tmp_path / "out", averaged, lang_dir=corpus / "lang")
    expected = log_probs(averaged)
    for opened in (open_model(config.exp_dir, avg=2), open_model(tmp_path / "out")):
        assert all(map(torch.equal, expected, log_probs(opened[0])))
        assert opened[1].fingerprint == checkpoint.load(config.exp_dir / "best.pt")["tokens"]
    last, _ = open_model(config.exp_dir, avg=1)
    assert not torch.equal(expected[0], log_probs(last)[0])


def test_no_folder_and_an_empty_one_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it must be a folder"):
        open_model(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is no checkpoint in it"):
        open_model(tmp_path)
    with pytest.raises(ExportError, match=r"config\.json is missing"):
        load_folder(tmp_path)


def test_a_table_of_another_size_is_not_exported(lang: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="must have the model's 13 classes, not 12"):
        save_folder(tmp_path, tiny_model(vocab_size=13), lang_dir=lang)


def test_an_export_replaces_another_one(exported: Path, lang: Path) -> None:
    for name in ("bpe.model", "word_tokens.txt"):
        (exported / name).write_text("of another model, whose tokens were pieces or words")
    other = tiny_model(seed=3)
    save_folder(exported, other, lang_dir=lang)
    assert all(map(torch.equal, log_probs(other), log_probs(load_folder(exported)[0])))


def test_a_table_of_words_is_exported_and_loaded(tmp_path: Path) -> None:
    (tmp_path / "lang").mkdir()
    words = [BLANK_TOKEN, UNKNOWN_TOKEN, *(f"word{i}" for i in range(10))]
    lines = [f"{word} {i}\n" for i, word in enumerate(words)]
    (tmp_path / "lang/word_tokens.txt").write_text("".join(lines))
    save_folder(tmp_path / "out", tiny_model(), lang_dir=tmp_path / "lang")
    _, tokens = load_folder(tmp_path / "out")
    assert tokens.decode(tokens.encode("word3 word1")) == "word3 word1"


def edit(**fields: object) -> Callable[[Path], None]:
    """Other fields in config.json; those of `config` are merged into what is there."""

    def damage(folder: Path) -> None:
        path = folder / "config.json"
        found = json.loads(path.read_text())
        inner = fields.get("config")
        merged = {**fields, "config": found["config"] | inner} if isinstance(inner, dict) else {}
        path.write_text(json.dumps({**found, **fields, **merged}))

    return damage


def cut_short(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def one_bit(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def no_tensors(folder: Path) -> None:
    """A file that is no safetensors at all, with a digest that fits."""
    (folder / "model.safetensors").write_bytes(b"nothing")
    edit(weights=hashlib.sha256(b"nothing").hexdigest())(folder)


def other_letters(folder: Path) -> None:
    write_tokens(folder, LETTERS[::-1])


def wider(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())["config"]["joiner"]
    edit(config={"joiner": {**found, "width": 24}})(folder)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors is missing"),
    "half the weights": (cut_short("model.safetensors"), r"model\.safetensors is not the file"),
    "a bit of the weights": (one_bit, r"model\.safetensors is not the file .* SHA-256 differs"),
    "other weights": (no_tensors, r"model\.safetensors is damaged"),
    "no tokens": (lambda f: (f / "tokens.txt").unlink(), r"tokens\.txt\) is missing"),
    "half the tokens": (cut_short("tokens.txt"), r"tokens\.txt is"),
    "other tokens": (other_letters, r"tokens\.txt is not the table that was exported"),
    "half the config": (cut_short("config.json"), r"config\.json is damaged: it is not JSON"),
    "another program's config": (
        lambda f: (f / "config.json").write_text("{}"), r"config\.json is not the config of"
    ),
    "a later format": (edit(format=3), r"config\.json is of format 3, this version reads 2"),
    "no digest": (edit(weights=None), r"config\.json is damaged: weights is None"),
    "another size": (edit(vocab_size=11), r"config\.json is damaged: vocab_size is 11, .* has 12"),
    "an unknown field": (
        edit(config={"encoders": 1}), r"config\.json is damaged: .* no field 'encoders'"
    ),
    "text for a number": (
        edit(config={"joiner": {"width": "wide"}}), r"config\.json is damaged: "
    ),
    "another width": (wider, r"joiner\.encoder_projection\.bias is \(16,\), .* must be \(24,\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_named_in_one_line(name: str, exported: Path) -> None:
    damage, message = DAMAGE[name]
    damage(exported)
    with pytest.raises(ExportError, match=message) as caught:
        load_folder(exported)
    assert "\n" not in str(caught.value)
    assert str(exported) in str(caught.value)


def test_an_interrupted_export_is_no_model(exported: Path) -> None:
    (exported / "config.json").unlink()
    with pytest.raises(ExportError, match="was not exported to the end"):
        open_model(exported)


def test_a_folder_moves(exported: Path, lang: Path, tmp_path: Path) -> None:
    expected = log_probs(load_folder(exported)[0])
    shutil.move(exported, tmp_path / "elsewhere")
    assert all(map(torch.equal, expected, log_probs(open_model(tmp_path / "elsewhere")[0])))
