"""The recipe's programs as a user runs them: interrupted, continued, decoded, and misused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from icefall_sampled import checkpoint, cli
from icefall_sampled.training import train
from tests.support.compare import differences
from tests.support.corpus import LETTERS, write_corpus, write_tokens
from tests.support.recipes import ASTERISK, asterisk_train, interrupt, run

# As small as the tests' models; the recipe's own numbers are tuned elsewhere.
SMALL = [
    "--encoder.subsampling-channels", "4", "--encoder.num-layers", "2", "--encoder.width", "16",
    "--encoder.num-heads", "2", "--encoder.feedforward-width", "32", "--encoder.kernel-frames", "3",
    "--encoder.subsampling", "4", "--predictor.embedding-width", "8",
    "--predictor.hidden-width", "16", "--joiner.width", "16", "--sampling.num-sampled", "9",
    "--loss.ctc-only-steps", "5", "--optimizer.warmup-steps", "3", "--data.num-buckets", "2",
    "--data.max-duration-seconds", "4", "--data.max-utterance-seconds", "2",
    "--data.num-workers", "1", "--training.log-every-steps", "10", "--training.threads", "1",
    "--training.checkpoint-every-steps", "1", "--training.max-steps", "20",
]  # fmt: skip


def data_flags(corpus: Path, exp_dir: Path) -> list[str]:
    return [
        "--data.train-cuts", str(corpus / "train.jsonl.gz"),
        "--data.dev-cuts", str(corpus / "dev.jsonl.gz"),
        "--data.lang-dir", str(corpus / "lang"), "--exp-dir", str(exp_dir),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("recipe"), num_train=40, num_dev=4)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """What `training.threads` sets in this process is put back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_interrupted_with_ctrl_c_and_continued_is_bit_identical(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    # The learning rate of noam does not depend on max_steps: a run that cannot end before the
    # signal comes is the beginning of one that does.
    arguments = ["example_ctc", *SMALL, *data_flags(corpus, tmp_path / "pieces"),
                 "--optimizer.schedule", "noam", "--training.max-steps"]  # fmt: skip
    program = ASTERISK / "train.py"
    code, said = interrupt(
        [program, *arguments, "100000"], when=lambda: checkpoint.find(tmp_path / "pieces")
    )
    assert code == 130, said
    assert said.endswith("interrupted; the same command goes on from what is saved\n")
    assert "Traceback" not in said
    stopped = checkpoint.load(checkpoint.find(tmp_path / "pieces")[-1])["step"]
    arguments.append(str(stopped + 12))
    done = run(program, *arguments)
    assert done.returncode == 0, done.stderr

    recipe = asterisk_train()
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "--exp-dir", str(tmp_path / "whole")])
    train(cli.choose_variant(recipe.variants(), base=recipe.base(), description=""))
    states = [checkpoint.load(checkpoint.find(tmp_path / name)[-1]) for name in ("pieces", "whole")]
    for state in states:
        assert state["step"] == stopped + 12
        del state["config"]
    assert differences(*states) == []

    decode_as_a_user_does(corpus, tmp_path)


def decode_as_a_user_does(corpus: Path, tmp_path: Path) -> None:
    """With a copy of decode.py, because it looks for the test sets beside itself."""
    program = tmp_path / "ASR/sampled_transducer/decode.py"
    program.parent.mkdir(parents=True)
    shutil.copy(ASTERISK / "decode.py", program)
    fbank = tmp_path / "ASR/data/fbank"
    fbank.mkdir(parents=True)
    for name in ("dev", "test-announce", "test-unseen"):
        shutil.copy(corpus / "dev.jsonl.gz", fbank / f"asterisk_cuts_{name}.jsonl.gz")
    done = run(program, "--exp-dir", tmp_path / "whole", "--avg", "2", "--ctc-top-k", "5",
               "--sets", "dev", "test-announce")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["dev", "test-announce"]
    for name, wer, cer, speed in rows:
        summary = tmp_path / f"whole/greedy/wer-summary-{name}-greedy-avg-2-ctc-top-5.txt"
        assert summary.read_text().split()[-1] == wer.removeprefix("WER ")
        assert cer.startswith("CER ")
        assert speed.startswith("real-time factor ")
    other = write_tokens(tmp_path / "other", LETTERS + "k")
    refused = run(program, "--exp-dir", tmp_path / "whole", "--lang-dir", other)
    one_sentence(refused, "another vocabulary (12 classes)")


def one_sentence(done: subprocess.CompletedProcess[str], part: str) -> None:
    """Exit code 2, and on standard error one line that says what is wrong."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert part in lines[0]


def test_missing_data_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    flags = data_flags(corpus, tmp_path)
    flags[1] = str(tmp_path / "none.jsonl.gz")
    one_sentence(
        run(ASTERISK / "train.py", "full", *SMALL, *flags),
        "none.jsonl.gz, it must be an existing manifest",
    )


def test_a_wrong_flag_is_said_without_a_traceback() -> None:
    done = run(ASTERISK / "train.py", "example_ctc", "--sampling.num-samples", "100")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "--sampling.num-samples" in done.stderr


def test_variants_are_those_of_the_paper() -> None:
    variants = asterisk_train().variants()
    assert {
        "full", "batch_uniform", "example_uniform", "example_ctc", "example_interctc",
        "example_scctc", "full_noaux", "batch_uniform_noaux", "example_uniform_noaux",
    } <= set(variants)  # fmt: skip
    for name, config in variants.items():
        five, streaming = name.startswith("five_"), name.startswith("streaming_")
        assert config.encoder.causal == streaming
        strategy = (
            name.removeprefix("five_")
            .removeprefix("streaming_")
            .split("_")[0]
            .replace("full", "none")
            .replace("pruned", "none")
        )
        assert config.sampling.strategy == strategy
        assert config.loss.kind == ("pruned" if "pruned" in name else "transducer")
        assert ("noaux" in name) == (config.ctc.joint_weight == 0)
        assert ("scctc" in name) == config.ctc.self_conditioning
        assert config.data.lang_dir.name == ("lang_bpe_2000" if five else "lang_bpe_500")
        if strategy != "none":
            usual = 300 if five else 100
            assert config.sampling.num_sampled == (50 if name.endswith("_50") else usual)
    usual_loss = variants["example_ctc"].loss
    assert variants["example_ctc_nodraft"].loss == replace(usual_loss, draft_negatives=0)


def test_programs_can_be_run_by_name() -> None:
    for name in ("train.py", "decode.py"):
        assert os.access(ASTERISK / name, os.X_OK)
