"""Recipes with parts that are not ours: programs as a user runs them, from training to export."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from icefall_sampled import checkpoint
from icefall_sampled.export import load_folder
from tests.support.compare import differences
from tests.support.corpus import write_corpus
from tests.support.recipes import ROOT, interrupt, run
from tests.transcribe.sounds import noise, write

BERT = ROOT / "tests/recipes/wav2vec2_bert"
DOC = ROOT / "docs/encoders.md"
SMALL = [
    "--joiner.width", "16", "--sampling.num-sampled", "9", "--data.max-duration-seconds", "4",
    "--data.max-utterance-seconds", "2", "--data.num-buckets", "2", "--data.num-workers", "0",
    "--training.checkpoint-every-steps", "3", "--training.keep-checkpoints", "2",
]  # fmt: skip
TINY_BERT = ["--encoder.width", "16", "--encoder.num-layers", "2", "--predictor.hidden-width", "16"]
TINY_ZIPFORMER = [
    "--encoder.downsampling-factor", "1", "2", "--encoder.num-encoder-layers", "1", "1",
    "--encoder.encoder-dim", "16", "24", "--encoder.encoder-unmasked-dim", "16", "16",
    "--encoder.feedforward-dim", "24", "24", "--encoder.num-heads", "4", "4",
    "--encoder.cnn-module-kernel", "7", "7", "--encoder.query-head-dim", "4",
    "--encoder.value-head-dim", "4", "--encoder.pos-dim", "8", "--predictor.hidden-width", "16",
]  # fmt: skip
ICEFALL = os.environ.get("ICEFALL", "")
"""A checkout of https://github.com/k2-fsa/icefall; nothing of it is part of this repository."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Also as decode.py of a recipe looks for it, and a file to transcribe."""
    folder = write_corpus(tmp_path_factory.mktemp("corpus"), num_train=24, num_dev=2)
    (folder / "fbank").mkdir()
    for name in ("x", "mine"):
        shutil.copy(folder / "dev.jsonl.gz", folder / f"fbank/{name}_cuts_dev.jsonl.gz")
    write(folder / "sound.wav", noise(1.0))
    return folder


def blocks() -> list[str]:
    """The programs in docs/encoders.md."""
    return re.findall(r"^```python\n(.*?)^```", DOC.read_text(encoding="utf-8"), flags=re.M | re.S)


def train_in_pieces(
    program: Path, variant: str, corpus: Path, exp_dir: Path, *flags: str, exact: bool = True
) -> None:
    """Press Ctrl-C in a run and finish it; if exact, one that nobody stops gives the same bits."""
    command = [program, variant, *flags, *SMALL, "--data.train-cuts", corpus / "train.jsonl.gz",
               "--data.dev-cuts", corpus / "dev.jsonl.gz", "--data.lang-dir", corpus / "lang",
               "--training.max-steps"]  # fmt: skip
    code, said = interrupt(
        [*command, "100000", "--exp-dir", exp_dir], when=lambda: checkpoint.find(exp_dir)
    )
    assert code == 130, said
    stopped = checkpoint.load(checkpoint.find(exp_dir)[-1])["step"]
    states = []
    for path in (exp_dir, exp_dir.with_name("whole")) if exact else (exp_dir,):
        done = run(*command, str(stopped + 5), "--exp-dir", path)
        assert done.returncode == 0, done.stderr
        states.append(checkpoint.load(checkpoint.find(path)[-1]))
        assert states[-1]["step"] == stopped + 5
        assert states[-1]["bad_steps"] == 0
        del states[-1]["config"]  # it names the folder
    assert differences(states[0], states[-1]) == []


def one_sentence(done: subprocess.CompletedProcess[str], part: str) -> None:
    """Exit code 2, and one line of error, besides the log."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(lines) == 1, done.stderr
    assert re.match(f"error: .*{part}", lines[0]), done.stderr


def decode(program: Path, exp_dir: Path, corpus: Path, *flags: str) -> str:
    done = run(program, "--exp-dir", exp_dir, "--data-dir", corpus, "--avg", "2",
               "--max-symbols", "2", *flags)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestWav2Vec2Bert:
    """The encoder of a package, in the recipe of tests/recipes/wav2vec2_bert."""

    @pytest.fixture(scope="class")
    def exp_dir(self, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        pytest.importorskip("transformers", reason="the encoder is of the package transformers")
        exp_dir: Path = tmp_path_factory.mktemp("bert") / "pieces"
        train_in_pieces(BERT / "train.py", "bert", corpus, exp_dir, *TINY_BERT)
        return exp_dir

    @pytest.fixture(scope="class")
    def exported(self, exp_dir: Path) -> Path:
        out = exp_dir.with_name("exported")
        done = run("-m", "icefall_sampled.export", "--exp-dir", exp_dir, "--out", out,
                   "--max-symbols", "1", "--model-code", BERT / "train.py")  # fmt: skip
        assert done.returncode == 0, done.stderr
        return out

    def test_the_recipe_is_short(self) -> None:
        files = (BERT / "train.py", BERT / "decode.py")
        assert sum(len(file.read_text().splitlines()) for file in files) <= 60

    def test_it_decodes_what_it_trained(self, exp_dir: Path, corpus: Path) -> None:
        assert decode(BERT / "decode.py", exp_dir, corpus).startswith("dev\tWER ")
        refused = run(BERT / "decode.py", "--exp-dir", exp_dir, "--data-dir", corpus,
                      "--chunk-frames", "4")  # fmt: skip
        one_sentence(refused, "Bert does not run in chunks$")

    def test_it_transcribes_and_exports(self, exp_dir: Path, exported: Path, corpus: Path) -> None:
        texts = []
        for model in (exp_dir, exported):
            command = ["-m", "icefall_sampled.transcribe", model, corpus / "sound.wav"]
            refused = run(*command)
            one_sentence(refused, r"train\.py: its code is run only if you name the file")
            done = run(*command, "--model-code", BERT / "train.py", "--max-symbols", "1")
            assert done.returncode == 0, done.stderr
            texts.append(done.stdout)
        assert texts[0] == texts[1] != ""

    @torch.no_grad()
    def test_the_graph_gives_its_numbers(self, exported: Path) -> None:
        model, _ = load_folder(exported, code=BERT / "train.py")
        session = onnxruntime.InferenceSession(str(exported / "encoder.onnx"))
        for lengths in ([100, 80], [60, 41, 33], [331], [2]):
            features, num_frames = (
                torch.randn(len(lengths), max(lengths), 80),
                torch.tensor(lengths),
            )
            frames, counted = session.run(
                None, {"x": features.numpy(), "x_lens": num_frames.numpy()}
            )
            encoded = model.encode(features, num_frames)
            assert counted.tolist() == encoded.lengths.tolist()
            for row, expected, length in zip(
                frames, model.joiner.encoder_projection(encoded.out), counted, strict=True
            ):
                np.testing.assert_allclose(row[:length], expected[:length], rtol=1e-4, atol=1e-4)

    def test_a_graph_of_fixed_sizes_is_refused(self, exported: Path, tmp_path: Path) -> None:
        code = (BERT / "train.py").read_text().replace("features.shape[0], -1", "len(features), -1")
        (tmp_path / "train.py").write_text(code)
        done = run("-m", "icefall_sampled.export", "--exp-dir", exported, "--format", "onnx",
                   "--out", tmp_path / "out", "--model-code", tmp_path / "train.py")  # fmt: skip
        one_sentence(done, "format onnx cannot be had of Bert: its graph does not give its numbers")
        assert not list((tmp_path / "out").glob("*.onnx"))

    def test_what_it_cannot_is_one_sentence(self, exp_dir: Path, corpus: Path) -> None:
        stream = ["-m", "icefall_sampled.transcribe.stream", exp_dir, corpus / "sound.wav"]
        refused = run(*stream, "--model-code", BERT / "train.py")
        one_sentence(refused, "trained for streaming: its encoder, Bert, encodes whole utterances")
        refused = run(BERT / "train.py", "bert", *SMALL, "--data.lang-dir", corpus / "lang",
                      "--ctc.intermediate-layers", "1")  # fmt: skip
        one_sentence(refused, "it must be empty: Bert has no num_blocks")

    def test_its_fields_are_on_the_command_line(self) -> None:
        done = run(BERT / "train.py", "bert", "--help")
        assert "--encoder.num-layers INT" in done.stdout
        assert "--encoder.subsampling" not in done.stdout
        assert "Unrecognized" in run(BERT / "train.py", "bert", "--encoder.colour", "1").stderr


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """A recipe of the first two programs in docs/encoders.md."""
    train, decoding, *_ = blocks()
    assert len(train.splitlines()) <= 60
    (tmp_path / "train.py").write_text(train)
    (tmp_path / "decode.py").write_text(decoding)
    return tmp_path


def test_encoder_predictor_and_optimizer_of_the_documentation(
    documented: Path, corpus: Path
) -> None:
    exp_dir, small = documented / "pieces", ["--encoder.width", "12", "--predictor.width", "8"]
    train_in_pieces(documented / "train.py", "base", corpus, exp_dir, *small)
    state = checkpoint.load(checkpoint.find(exp_dir)[-1])
    assert state["factories"] == {
        part: f"{documented.resolve()}/train.py:make_{part}"
        for part in ("encoder", "predictor", "optimizer")
    }
    assert {"momentum_buffer"} == set(state["optimizer"]["state"][0])
    assert decode(documented / "decode.py", exp_dir, corpus).startswith("dev\tWER ")
    beams = ["--method", "time_sync_beam", "--beam", "3", "--ctc-top-k", "6"]
    assert decode(documented / "decode.py", exp_dir, corpus, *beams).startswith("dev\tWER ")


AS_IN_ICEFALL = """
import argparse
import sys
from pathlib import Path

import torch
import train  # icefall's
from lhotse.utils import LOG_EPSILON
from recipe import base, make_encoder

from icefall_sampled.modeling import Factories
from icefall_sampled.modeling.encoder import frame_counter
from icefall_sampled.tokens import load_tokens
from icefall_sampled.training.init import start_from
from icefall_sampled.training.objective import Objective

parser = argparse.ArgumentParser()
train.add_model_arguments(parser)
params = train.get_params()
params.update(vars(parser.parse_args([])), vocab_size=500, blank_id=0, context_size=2)
model = train.get_model(params).eval()
torch.save({"model": model.state_dict()}, "pretrained.pt")
tokens = load_tokens(Path(sys.argv[1]))
objective = Objective(Factories(encoder=make_encoder).model(base, tokens.vocab_size), base)
started = start_from(Path("pretrained.pt"), objective, tokens)
assert not [name for name in started.left if name.startswith("encoder")]
encoder = objective.model.encoder.eval()
features, lengths = torch.randn(2, 200, 80), torch.tensor([200, 150])
features[1, 150:] = LOG_EPSILON
with torch.no_grad():
    expected, expected_lengths = model.forward_encoder(features, lengths)
    found = objective.model.eval().encode(features, lengths)
assert torch.equal(found.out, expected)
assert torch.equal(found.lengths, expected_lengths)
count = frame_counter(encoder)
assert (count(8), count(9), count(200)) == (0, 1, 48)
"""


@pytest.fixture
def zipformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe with icefall's Zipformer, which finds its modules."""
    if not ICEFALL:
        pytest.skip("ICEFALL names no checkout of icefall")
    pytest.importorskip("k2")
    (tmp_path / "recipe.py").write_text(blocks()[2])
    folders = [ICEFALL, f"{ICEFALL}/egs/librispeech/ASR/zipformer", str(tmp_path)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "recipe.py"


def test_zipformer_trains_and_resumes(zipformer: Path, corpus: Path) -> None:
    exp_dir = zipformer.parent / "pieces"
    train_in_pieces(zipformer, "base", corpus, exp_dir, *TINY_ZIPFORMER, exact=False)
    state = checkpoint.load(checkpoint.find(exp_dir)[-1])["model"]
    assert state["encoder.batches"] > 5
    assert state["feature_norm.count"] == 0
    done = run("-m", "icefall_sampled.transcribe", exp_dir, corpus / "sound.wav",
               "--max-symbols", "1", "--model-code", zipformer)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_zipformer_loads_the_checkpoints_of_icefall(zipformer: Path, corpus: Path) -> None:
    done = run("-c", AS_IN_ICEFALL, corpus / "lang")
    assert done.returncode == 0, done.stderr
