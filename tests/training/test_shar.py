"""Training from Shar: the losses of the manifest, in one process and in two, and after a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import local.to_shar as to_shar
from icefall_sampled import checkpoint
from icefall_sampled.config import Config
from icefall_sampled.training import train
from tests.support.compare import differences
from tests.support.corpus import write_corpus
from tests.support.curves import curves_of
from tests.support.recipes import ROOT, run
from tests.support.stopping import stopping_after
from tests.support.tiny import changed, tiny_config

PROGRAM = ROOT / "tests/support/two_processes.py"
TORCHRUN = ("-m", "icefall_sampled.torchrun", "--standalone", "--nproc_per_node", "2")


def exported(folder: Path, corpus: Path, *, shard_size: int) -> Path:
    """The corpus with folders of Shar under the names of its manifests."""
    folder.mkdir()
    for name in ("train.jsonl.gz", "dev.jsonl.gz"):
        to_shar.main(corpus / name, folder / name, shard_size=shard_size, lossless=True, num_jobs=1)
    (folder / "lang").symlink_to(corpus / "lang")
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    corpus = write_corpus(folder / "corpus", num_train=60)
    return exported(folder / "shar", corpus, shard_size=9)


def state_of(exp_dir: Path) -> dict[str, object]:
    """The last checkpoint, without the paths that two runs cannot have in common."""
    state = checkpoint.load(checkpoint.find(exp_dir)[-1])
    del state["config"]
    return state


def test_one_shard_trains_to_the_bits_of_the_manifest(corpus: Path, tmp_path: Path) -> None:
    shar = exported(tmp_path / "shar", corpus, shard_size=1000)
    for name, source in (("manifest", corpus), ("from-shar", shar)):
        config = tiny_config(source, tmp_path / name)
        train(changed(config, data={"num_workers": int(source == shar)}))
    assert differences(state_of(tmp_path / "manifest"), state_of(tmp_path / "from-shar")) == []
    assert curves_of(tmp_path / "manifest").keys() == curves_of(tmp_path / "from-shar").keys()


def test_stopped_within_an_epoch_and_continued_is_bit_identical(
    shards: Path, tmp_path: Path
) -> None:
    config = tiny_config(shards, tmp_path / "whole")
    train(config)
    pieces: Config = replace(config, exp_dir=tmp_path / "pieces")
    for passes in (7, 5):
        with pytest.raises(KeyboardInterrupt):
            train(pieces, factories=stopping_after(passes))
        assert checkpoint.load(checkpoint.find(pieces.exp_dir)[-1])["batches"] > 0
    train(pieces)
    assert differences(state_of(config.exp_dir), state_of(pieces.exp_dir)) == []


def test_two_processes_read_shards_of_their_own_and_resume(shards: Path, tmp_path: Path) -> None:
    for name, stops in (("whole", [()]), ("pieces", [("6",), ()])):
        for stop in stops:
            done = run(*TORCHRUN, PROGRAM, shards, tmp_path / name, "8", *stop)
            assert done.returncode == 0, done.stderr[-3000:]
    whole = state_of(tmp_path / "whole")
    assert whole["epoch"] > 0  # all ended an epoch together
    assert differences(whole, state_of(tmp_path / "pieces")) == []
    reports = {path.read_text() for path in (tmp_path / "whole").glob("rank-*.json")}
    assert len(reports) == 1  # the same weights in both
