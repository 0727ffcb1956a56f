"""Two processes over gloo: in step, one checkpoint, and resumed as if never stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from icefall_sampled import checkpoint
from icefall_sampled.data import read_cuts, usable_cuts
from icefall_sampled.data.loading import epoch_batches
from icefall_sampled.tokens import load_tokens
from tests.support.compare import differences
from tests.support.corpus import make_cut, write_corpus, write_cuts
from tests.support.curves import curves_of
from tests.support.recipes import ROOT, interrupt, run
from tests.support.tiny import by_four, changed, tiny_config, tiny_model
from tests.support.two_processes import config_of, digest_of

PROGRAM = ROOT / "tests/support/two_processes.py"
TORCHRUN = ("-m", "icefall_sampled.torchrun", "--standalone", "--nproc_per_node", "2")
MAX_STEPS = 7


@pytest.fixture(scope="module")
def holed_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One utterance of dev for two processes, and a batch of which rank 1 can read nothing."""
    corpus = write_corpus(tmp_path_factory.mktemp("holed"), num_train=60, num_dev=1)
    config = changed(tiny_config(corpus), data={"max_duration_seconds": 2.0})
    cuts = read_cuts(config.data.train_cuts, argument="train_cuts").to_eager()
    batches = epoch_batches(
        cuts, load_tokens(config.data.lang_dir), config.data, seed=config.training.seed, epoch=0,
        rank=1, world_size=2,
    )  # fmt: skip
    ids = [batch.ids for batch in batches]
    assert len(ids) > 3
    for name in (*ids[1], *ids[2]):  # the second half of step 1, and the first of step 2
        (corpus / f"feats/{name}.npy").unlink()
    silent = make_cut(corpus / "feats", "silent", np.zeros((60, 80), dtype=np.float32), "")
    write_cuts(config.data.train_cuts, [*cuts, silent])
    return corpus


def frames_of_first_batches(corpus: Path, count: int) -> int:
    """Input frames that could be read in the first batches of both processes."""
    config = config_of(corpus, corpus, 1)
    cuts, _ = usable_cuts(
        read_cuts(config.data.train_cuts, argument="train_cuts"),
        load_tokens(config.data.lang_dir), config.data, output_frames=by_four, quiet=True,
    )  # fmt: skip
    frames = 0
    for rank in range(2):
        loader = epoch_batches(
            cuts, load_tokens(config.data.lang_dir), config.data, seed=config.training.seed,
            epoch=0, rank=rank, world_size=2,
        )  # fmt: skip
        batches = list(loader)
        assert len(batches) >= count
        frames += sum(int(batch.lengths.sum()) for batch in batches[:count])
    return frames


def train_two(corpus: Path, exp_dir: Path, *stop: int) -> list[dict[str, object]]:
    done = run(*TORCHRUN, PROGRAM, corpus, exp_dir, str(MAX_STEPS), *map(str, stop))
    assert done.returncode == 0, done.stderr[-3000:]
    said = re.findall("left out ([^:]*): ", done.stderr)
    assert len(set(said)) == len(said)  # each by one process, in one epoch
    assert "silent" in said
    assert len(re.findall("step 7: dev ", done.stdout)) == (not stop)
    return reports_of(exp_dir)


def reports_of(exp_dir: Path) -> list[dict[str, object]]:
    return [json.loads((exp_dir / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_stay_in_step_and_resume(holed_corpus: Path, tmp_path: Path) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    first, second = train_two(holed_corpus, whole)
    assert not first["stopped"]
    assert first == second
    names = [path.name for path in checkpoint.find(whole)]
    assert names == ["step-00000004.pt", "step-00000007.pt"]
    assert len(list((whole / "tensorboard").iterdir())) == 1
    gathered = checkpoint.load(whole / "step-00000004.pt")["model"]["feature_norm.count"]
    assert gathered == frames_of_first_batches(holed_corpus, 8)
    present = len(list((holed_corpus / "feats").glob("train-*.npy")))
    assert curves_of(whole)["train/rejected_utterances"][6] == 1 + 60 - present

    # The sixth half batch belongs to step 3; only rank 1 is asked to stop, and both do.
    for report in train_two(holed_corpus, pieces, 6):
        assert report["stopped"]
    assert [path.name for path in checkpoint.find(pieces)] == ["step-00000003.pt"]
    assert train_two(holed_corpus, pieces) == [first, second]
    states = [checkpoint.load(checkpoint.find(folder)[-1]) for folder in (whole, pieces)]
    for state in states:
        del state["config"]
    assert differences(*states) == []


def test_ctrl_c_ends_both_processes_with_one_checkpoint(corpus: Path, tmp_path: Path) -> None:
    """Torchrun passes the signal on that its processes have already had from the terminal."""
    command = [*TORCHRUN, PROGRAM, corpus, tmp_path, "100000"]
    code, said = interrupt(command, when=lambda: checkpoint.find(tmp_path))
    assert code == 130, said
    assert "Traceback" not in said
    state = checkpoint.load(checkpoint.find(tmp_path)[-1])
    config = config_of(corpus, tmp_path, 1)
    weights = {name: state["model"][name] for name, _ in tiny_model(config).named_parameters()}
    assert reports_of(tmp_path) == [{"stopped": True, "weights": digest_of(weights)}] * 2
